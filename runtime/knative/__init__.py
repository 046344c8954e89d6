"""What Knative does on a cluster, done in this process from the same ``eventing/*.yaml``: broker, triggers, cron."""
