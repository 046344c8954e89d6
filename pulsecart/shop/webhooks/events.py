"""Defines the data of the events about webhooks."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Id


class DeliveryFailed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.webhook.delivery.failed.v1"
    deliveryId: Id


class SubscriptionPaused(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.webhook.subscription.paused.v1"
    subscriptionId: Id


class SubscriptionResumed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.webhook.subscription.resumed.v1"
    subscriptionId: Id


class SubscriptionDisabled(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.webhook.subscription.disabled.v1"
    subscriptionId: Id
