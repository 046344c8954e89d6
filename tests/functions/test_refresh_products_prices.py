"""refresh_products: copies sale prices and stock from their events."""

import json

from msgspec import structs

from pulsecart.runtime.event import padded
from pulsecart.shop.catalogue.copies.copies import ENDED_S, Copies
from tests.client import Client
from tests.functions.test_refresh_products import copies, show

__all__ = ["copies"]


async def test_a_sale_s_price_stands_beside_the_list_price_until_its_end(client: Client, copies: Copies) -> None:
    (started,) = await client.log("ecommerce.pricing.flash_sale.started.v1")
    assert "sale" not in (await show(client)).body
    assert await client.handle_event("refresh_products", started) == 204
    shown = await show(client, 1)
    assert (shown.body["price"], shown.body["sale"]["price"]) == (129, 49.9)
    left_ms = await client.deps.redis.pttl("flash_price:1")
    assert 6 * 24 * 3600 * 1000 < left_ms < 7 * 24 * 3600 * 1000
    assert (await client.ask("GET", "/api/v1/products/1", if_none_match=shown.headers["etag"])).status == 304
    ended = structs.replace(
        started,
        id="ended",
        type="ecommerce.pricing.flash_sale.ended.v1",
        extensions={**started.extensions, "sequence": padded(started.sequence + 1)},
    )
    for event in (ended, started):  # the late one is refused
        assert await client.handle_event("refresh_products", event) == 204
    after = await client.ask("GET", "/api/v1/products/1", if_none_match=shown.headers["etag"])
    assert (after.status, "sale" in after.body) == (200, False)
    assert 0 < await client.deps.redis.pttl("flash_price:1") <= ENDED_S * 1000


async def test_a_sale_that_is_over_when_its_event_comes_leaves_no_price(client: Client) -> None:
    (started,) = await client.log("ecommerce.pricing.flash_sale.started.v1")
    data = json.loads(started.data or b"") | {"productId": "3", "endsAt": "2020-01-01T00:00:00Z"}
    assert (
        await client.handle_event("refresh_products", structs.replace(started, data=json.dumps(data).encode())) == 204
    )
    assert await client.deps.redis.exists("flash_price:3") == 0
    for never in ("soon", "2026-11-27T08:00:00", "9999-12-31T23:59:59-12:00"):
        data["endsAt"] = never
        assert (
            await client.handle_event("refresh_products", structs.replace(started, data=json.dumps(data).encode()))
            == 400
        )


async def test_the_stock_s_copy_keeps_the_newest_number(client: Client, copies: Copies) -> None:
    for user in range(3):
        await client.buy(user=user)
    events = [e for e in await client.log("ecommerce.inventory.stock.adjusted.v1") if e.subject == "1"]
    assert len(events) == 4
    for event in [events[3], *events, events[0]]:
        assert await client.handle_event("refresh_products", event) == 204
        assert json.loads(await copies.stock("1") or b"") == {"productId": 1, "available": 997, "sequence": 4}
