"""events: Say here in one sentence what it does."""

from pulsecart.shop.partners.events import FulfilmentReported, StockReported
from tests.client import Client


async def test_the_route_leads_to_fulfilment_reported(client: Client) -> None:
    before = len(await client.log(FulfilmentReported.TYPE, StockReported.TYPE))
    assert (await client.ask("POST", "/api/v1/events")).status == 204
    emitted = [event.type for event in (await client.log(FulfilmentReported.TYPE, StockReported.TYPE))[before:]]
    assert emitted == [FulfilmentReported.TYPE, StockReported.TYPE], (
        "functions/events/main.py does nothing yet: write its code, and here a test for each sentence about it"
    )
