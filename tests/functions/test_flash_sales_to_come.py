"""A scheduled sale is shown wherever its product is shown, and starts there by the clock alone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pulsecart.runtime.deps import close_deps
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.settings import Settings
from tests.client import Client
from tests.functions.turned import clock, deps
from tests.turned_clock import START, TurnedClock, turned_deps

__all__ = ["clock", "deps"]
PRICING = tuple(f"ecommerce.pricing.flash_sale.{name}.v1" for name in ("scheduled", "started", "changed", "ended"))
BEGINS, ENDS = START + timedelta(seconds=600), START + timedelta(seconds=1200)


async def schedule(client: Client, **members: Any) -> str:
    body = {"productId": 2, "price": 20, "startsAt": rfc3339(BEGINS), "endsAt": rfc3339(ENDS)} | members
    answered = await client.ask("POST", "/api/v1/flash-sales", body)
    assert answered.status == 201, answered
    return str(answered.body["saleId"])


async def handle_events(client: Client) -> None:
    """Deliver all events of sales so far."""
    for event in await client.log(*PRICING):
        assert await client.handle_event("refresh_products", event) == 204
        assert await client.handle_event("notify", event) == 204


async def shown(client: Client) -> dict[str, Any]:
    """Return the sale in the product's own document, and require the same in the list."""
    one = (await client.ask("GET", "/api/v1/products/2")).body
    listed = (await client.ask("GET", "/api/v1/products?limit=100")).body["products"]
    (same,) = (product for product in listed if product["productId"] == 2)
    reported = {name: one[name]["price"] for name in ("sale", "nextSale") if name in one}
    assert reported == {name: same[name]["price"] for name in ("sale", "nextSale") if name in same}
    return reported


@pytest.mark.parametrize("copied", ["before it was scheduled", "after"])
async def test_a_copy_shows_the_sale_to_come_and_its_beginning_and_end_without_another_event(
    client: Client, clock: TurnedClock, copied: str
) -> None:
    if copied == "before it was scheduled":
        assert await shown(client) == {}
    await schedule(client)
    await handle_events(client)
    before = await client.ask("GET", "/api/v1/products/2")
    times = [datetime.fromisoformat(before.body["nextSale"][name]) for name in ("startsAt", "endsAt")]
    assert times == [BEGINS, ENDS]
    assert await shown(client) == {"nextSale": 20}
    clock.turn(599)
    assert await shown(client) == {"nextSale": 20}
    clock.turn(1)
    assert await shown(client) == {"sale": 20}
    changed = await client.ask("GET", "/api/v1/products/2", if_none_match=before.headers["etag"])
    assert changed.status == 200
    assert (await client.buy(product=2)).body["totalAmount"] == 20


async def test_a_product_read_without_redis_shows_the_same(
    client: Client, clock: TurnedClock, settings: Settings
) -> None:
    await schedule(client)
    opened = turned_deps(replace(settings, redis_url="redis://127.0.0.1:1/0"), clock)
    try:
        assert await shown(Client(opened)) == {"nextSale": 20}
        clock.turn(600)
        assert await shown(Client(opened)) == {"sale": 20}
    finally:
        await close_deps(opened)


async def test_a_change_of_a_sale_to_come_and_its_end_reach_the_copies(client: Client) -> None:
    sale = await schedule(client)
    await handle_events(client)
    await client.ask("PUT", f"/api/v1/flash-sales/{sale}", {"price": 15}, if_match="*")
    await handle_events(client)
    assert await shown(client) == {"nextSale": 15}
    await client.ask("PUT", f"/api/v1/flash-sales/{sale}", {"endsAt": rfc3339(START)}, if_match="*")
    await handle_events(client)
    assert await shown(client) == {}


async def test_a_cart_s_line_says_when_its_sale_begins_and_is_ordered_from_then_on(
    client: Client, clock: TurnedClock
) -> None:
    async def line() -> Any:
        (line,) = (await client.ask("GET", cart)).body["items"]
        return line

    cart = (await client.ask("POST", "/api/v1/carts")).headers["location"]
    assert (await client.ask("PUT", f"{cart}/items/2", {"qty": 1})).body["items"][0]["problems"] == []
    await schedule(client, price=59)
    reported = await line()
    assert (reported["problems"], reported["saleStartsAt"]) == (["SALE_NOT_OPEN"], rfc3339(BEGINS))
    refused = await client.ask("POST", f"{cart}/checkout", {"userId": 7}, idempotency_key="early")
    assert (refused.status, refused.body["type"].rpartition("/")[2]) == (409, "sale-not-open")
    assert refused.body["lines"] == [{"productId": 2, "reason": "SALE_NOT_OPEN", "saleStartsAt": rfc3339(BEGINS)}]
    clock.turn(600)
    reported = await line()
    assert (reported["problems"], "saleStartsAt" in reported) == ([], False)
    assert (await client.ask("POST", f"{cart}/checkout", {"userId": 7}, idempotency_key="k")).status == 200
