"""What Knative does on a cluster, done in this process from the same ``eventing/*.yaml``: broker, triggers, cron."""

from runtime.knative.local import LocalKnative
from runtime.knative.manifest import Misconfigured
from runtime.knative.status import Pressure, TriggerStatus

__all__ = ["LocalKnative", "Misconfigured", "Pressure", "TriggerStatus"]
