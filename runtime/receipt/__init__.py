"""What scaling to zero costs and saves: pods, cold starts, requests and events per operation, as a cluster tells."""
