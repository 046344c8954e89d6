"""
Sends events to partners: each event → a message for each subscription that it matches → signed HTTP requests.

A message is repeated until its endpoint takes it (or delivery.failed); an endpoint that keeps failing is paused.
Messages that ended WEBHOOK_KEEP_DAYS ago are deleted.
"""

from functions.webhook_deliver import backlog as _backlog  # noqa: F401  # /metrics shows it
from functions.webhook_deliver.fan_out import FanOut
from functions.webhook_deliver.sender import Sender
from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on_anything
from pulsecart.shop.webhooks.events import DeliveryFailed, SubscriptionDisabled, SubscriptionPaused, SubscriptionResumed
from pulsecart.shop.webhooks.subscription import NOT_SENT


async def fan_out(event: Received[bytes], deps: Deps) -> None:
    """Store the event's messages, once for each subscription; a repeated event changes nothing."""
    if not event.envelope.type.startswith(NOT_SENT):
        await deps.singleton(FanOut).events.submit(event.envelope)


async def stay_awake(deps: Deps) -> None:
    """Send due messages; keep running while one is due before the next sweep."""
    await deps.singleton(Sender).stay_awake()


webhook_deliver = operation(
    "webhook_deliver",
    events=[on_anything(fan_out)],
    emits=[DeliveryFailed, SubscriptionDisabled, SubscriptionPaused, SubscriptionResumed],
    wake=stay_awake,
    seals=True,
)
