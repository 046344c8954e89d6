"""Stores the sealed secrets that sign the messages of webhook subscriptions."""

from pulsecart.runtime.db.rotated_secrets import RotatedSecrets

SECRETS = RotatedSecrets("webhook_secrets", "subscription_id", "subscription")
