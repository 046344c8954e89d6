"""adjust_stock: Say here in one sentence what it does."""

from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.partners.events import ReportRejected, StockReported
from tests.client import Client
from tests.contracts.examples import example


async def test_stock_reported_leads_to_stock_adjusted_once(client: Client) -> None:
    before = len(await client.log(StockAdjusted.TYPE, ReportRejected.TYPE))
    event = example(StockReported)
    for _ in range(2):
        assert await client.handle_event("adjust_stock", event) == 204
    emitted = [event.type for event in (await client.log(StockAdjusted.TYPE, ReportRejected.TYPE))[before:]]
    assert emitted == [StockAdjusted.TYPE, ReportRejected.TYPE], (
        "functions/adjust_stock/main.py does nothing yet: write its code, and here a test for each sentence about it"
    )
