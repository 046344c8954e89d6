"""webhook_deliver: Say here in one sentence what it does."""

from pulsecart.shop.orders.events import OrderPaid
from pulsecart.shop.webhooks.events import DeliveryFailed, SubscriptionDisabled, SubscriptionPaused, SubscriptionResumed
from tests.client import Client
from tests.contracts.examples import example


async def test_order_paid_leads_to_delivery_failed_once(client: Client) -> None:
    before = len(
        await client.log(
            DeliveryFailed.TYPE, SubscriptionPaused.TYPE, SubscriptionResumed.TYPE, SubscriptionDisabled.TYPE
        )
    )
    event = example(OrderPaid)
    for _ in range(2):
        assert await client.handle_event("webhook_deliver", event) == 204
    emitted = [
        event.type
        for event in (
            await client.log(
                DeliveryFailed.TYPE, SubscriptionPaused.TYPE, SubscriptionResumed.TYPE, SubscriptionDisabled.TYPE
            )
        )[before:]
    ]
    assert emitted == [
        DeliveryFailed.TYPE,
        SubscriptionPaused.TYPE,
        SubscriptionResumed.TYPE,
        SubscriptionDisabled.TYPE,
    ], "functions/webhook_deliver/main.py does nothing yet: write its code, and here a test for each sentence about it"
