"""record_fulfilment: Say here in one sentence what it does."""

from pulsecart.shop.orders.events import OrderFulfilled
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected
from tests.client import Client
from tests.contracts.examples import example


async def test_fulfilment_reported_leads_to_order_fulfilled_once(client: Client) -> None:
    before = len(await client.log(OrderFulfilled.TYPE, ReportRejected.TYPE))
    event = example(FulfilmentReported)
    for _ in range(2):
        assert await client.handle_event("record_fulfilment", event) == 204
    emitted = [event.type for event in (await client.log(OrderFulfilled.TYPE, ReportRejected.TYPE))[before:]]
    assert emitted == [OrderFulfilled.TYPE, ReportRejected.TYPE], (
        "functions/record_fulfilment/main.py does nothing yet: write its code, and here a test for each sentence about it"
    )
