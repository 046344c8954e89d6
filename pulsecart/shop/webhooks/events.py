"""Defines the data of the events about webhooks: without secrets, answers, or anything of the URL."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Id, Title, Units, Word


class DeliveryFailed(Message, frozen=True, kw_only=True):
    """A message was given up: its subscription's schedule is used up. It is kept and can be sent again."""

    TYPE = "ecommerce.webhook.delivery.failed.v1"
    subscriptionId: Id
    messageId: Id
    eventType: Title
    attempts: Units
    result: Word
    status: Units


class SubscriptionPaused(Message, frozen=True, kw_only=True):
    """The endpoint keeps failing: only one probe at a time is sent, and messages wait."""

    TYPE = "ecommerce.webhook.subscription.paused.v1"
    subscriptionId: Id
    partnerId: Id
    reason: Word
    failures: Units


class SubscriptionResumed(Message, frozen=True, kw_only=True):
    """A probe succeeded: messages are sent again."""

    TYPE = "ecommerce.webhook.subscription.resumed.v1"
    subscriptionId: Id
    partnerId: Id


class SubscriptionDisabled(Message, frozen=True, kw_only=True):
    """The endpoint answered 410 Gone: nothing is sent until the subscription is resumed by hand."""

    TYPE = "ecommerce.webhook.subscription.disabled.v1"
    subscriptionId: Id
    partnerId: Id
    reason: Word
