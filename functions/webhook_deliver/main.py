"""order.paid.v1 → delivery.failed.v1, subscription.paused.v1, subscription.resumed.v1, subscription.disabled.v1"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.orders.events import OrderPaid
from pulsecart.shop.webhooks.events import DeliveryFailed, SubscriptionDisabled, SubscriptionPaused, SubscriptionResumed


async def handle(event: Received[OrderPaid], deps: Deps) -> None:
    """Say here what it does with the event, and which errors make the broker retry."""
    async with deps.db.once(event.envelope) as tx:
        if tx.seen:
            return
        # Load the rows, decide in a pure function (pulsecart/shop/webhooks/), store, emit:
        # tx.emit(DeliveryFailed(deliveryId=…), key=…, sequence=…)
        # tx.emit(SubscriptionPaused(subscriptionId=…), key=…, sequence=…)
        # tx.emit(SubscriptionResumed(subscriptionId=…), key=…, sequence=…)
        # tx.emit(SubscriptionDisabled(subscriptionId=…), key=…, sequence=…)


webhook_deliver = operation(
    "webhook_deliver",
    events=[on(OrderPaid, handle)],
    emits=[DeliveryFailed, SubscriptionPaused, SubscriptionResumed, SubscriptionDisabled],
)
