"""stock: shows the available units, and records every manual change as an adjustment."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.shop.inventory.gate.gate import Gate
from tests.client import Client
from tests.functions.conftest import Strict

STOCKED = """
    SELECT (SELECT sum(delta) FROM inventory_adjustment WHERE product_id = '1'),
           (SELECT available FROM stock WHERE product_id = '1'),
           (SELECT coalesce(sum(qty), 0) FROM order_items JOIN orders USING (order_id) WHERE status <> 'CANCELED')
"""


async def reset(client: Client, units: int | str, product: str = "1", **headers: str) -> int:
    return (await client.ask("PUT", f"/api/v1/sync/stock/{product}/reset?stock={units}", **headers)).status


async def test_stock_is_what_can_still_be_sold(client: Client) -> None:
    await client.buy(qty=2)
    assert (await client.ask("GET", "/api/v1/sync/stock/1")).body == {"productId": 1, "stock": 998}


async def test_the_snapshot_is_what_the_events_last_reported(client: Client) -> None:
    async def snapshot(product: int = 1) -> Any:
        return (await client.ask("GET", f"/api/v1/inventory/{product}")).body

    assert await snapshot() == {"productId": 1, "available": 1000, "sequence": 1}
    await client.buy(qty=2)
    for event in await client.log("ecommerce.inventory.stock.adjusted.v1"):
        assert await client.handle_event("refresh_products", event) == 204
    assert await snapshot() == {"productId": 1, "available": 998, "sequence": 2}
    await client.buy(user=8)
    assert (await snapshot())["available"] == 998, "until the event comes"
    for event in await client.log("ecommerce.inventory.stock.adjusted.v1"):
        assert await client.handle_event("refresh_products", event) == 204
    assert await snapshot() == {"productId": 1, "available": 997, "sequence": 3}
    assert (await snapshot(999))["status"] == 404


async def test_without_redis_the_snapshot_is_postgresql_s(client: Client) -> None:
    opened = open_deps(replace(client.deps.settings, redis_url="redis://127.0.0.1:1/0"))
    try:
        answered = await Client(opened).ask("GET", "/api/v1/inventory/2")
        assert answered.body == {"productId": 2, "available": 500, "sequence": 1}
    finally:
        await close_deps(opened)


async def test_an_unknown_product_s_stock_is_404(client: Client) -> None:
    for product in ("nope", "%20", "9" * 300, "\u00e9" * 300):
        assert (await client.ask("GET", f"/api/v1/sync/stock/{product}")).status == 404
        assert await reset(client, 5, product) == 404
        assert (await client.ask("POST", f"/api/v1/sync/stock/init/{product}")).status == 404


async def test_one_bad_id_does_not_spoil_who_asks_with_it(client: Client) -> None:
    asked = [client.ask("GET", f"/api/v1/sync/stock/{product}") for product in ("1", "nope", "2", "%20", "3")]
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200, 404, 200, 404, 200]


async def test_a_reset_sets_what_is_left_and_the_books_still_balance(client: Client) -> None:
    await client.buy(user=1, qty=2)
    for units in (5, 0, 700):
        assert await reset(client, units) == 200
        stocked, left, taken = await client.row(STOCKED)
        assert (left, stocked) == (units, left + taken)
    adjusted = [e for e in await client.log("ecommerce.inventory.stock.adjusted.v1") if e.subject == "1"]
    assert [event.extensions["stockreason"] for event in adjusted] == ["initial", "reserved", *["reset"] * 3]
    assert [event.sequence for event in adjusted] == [1, 2, 3, 4, 5]


async def test_a_reset_reaches_the_gate_at_once(client: Client) -> None:
    await client.buy(user=1)
    await reset(client, 3)
    shelf = await Gate(client.deps.redis, 1).look("1")
    assert shelf
    assert shelf.left == 3
    answers = await asyncio.gather(*(client.buy(user=user) for user in range(2, 10)))
    assert [answer.status for answer in answers].count(200) == 3


async def test_a_reset_between_claim_and_commit_sells_neither_too_much_nor_too_little(client: Client) -> None:
    await client.buy(user=0)
    buying = [client.buy(user=user) for user in range(1, 60)]
    answers, *_ = await asyncio.gather(asyncio.gather(*buying), reset(client, 20), reset(client, 30))
    stocked, left, taken = await client.row(STOCKED)
    assert stocked == left + taken
    assert {answer.status for answer in answers} <= {200, 409, 503}
    assert taken == 1 + [answer.status for answer in answers].count(200)


async def test_init_gives_a_product_its_first_stock_and_leaves_what_another_has(client: Client) -> None:
    await client.rows(
        "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('9', 'NEW', 'New', 100) RETURNING 1"
    )
    assert (await client.ask("GET", "/api/v1/sync/stock/9")).status == 404
    first = await client.ask("POST", "/api/v1/sync/stock/init/9?stock=25")
    assert (first.status, first.body) == (200, {"productId": 9, "stock": 25})
    assert (await client.ask("POST", "/api/v1/sync/stock/init/9?stock=99")).body["stock"] == 25
    assert await client.rows("SELECT delta, reason FROM inventory_adjustment WHERE product_id = '9'") == [
        (25, "INITIAL")
    ]
    assert (await client.buy(product=9)).status == 200


async def test_init_without_a_number_gives_a_thousand_as_the_seed_does(client: Client) -> None:
    await client.rows(
        "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('9', 'NEW', 'New', 100) RETURNING 1"
    )
    assert (await client.ask("POST", "/api/v1/sync/stock/init/9")).body["stock"] == 1000


async def test_a_first_stock_given_by_many_at_once_is_given_once(client: Client) -> None:
    await client.rows(
        "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('9', 'NEW', 'New', 100) RETURNING 1"
    )
    asked = (client.ask("POST", "/api/v1/sync/stock/init/9?stock=5") for _ in range(6))
    assert {answer.status for answer in await asyncio.gather(*asked)} <= {200, 503}
    assert await client.rows("SELECT delta FROM inventory_adjustment WHERE product_id = '9'") == [(5,)]


@pytest.mark.parametrize("units", ["-1", "1.5", "many", "", "10000001", "9" * 5000, "0x10", "²"])
async def test_a_number_of_units_that_is_none_is_400(client: Client, units: str) -> None:
    assert await reset(client, units) == 400
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)


async def test_without_the_demo_s_trust_only_an_admin_changes_stock(strict: Strict) -> None:
    assert await reset(strict, 5) == 401
    assert (await strict.ask("POST", "/api/v1/sync/stock/init/1")).status == 401
    assert await reset(strict, 5, **strict.as_buyer("7")) == 403
    assert await reset(strict, 5, **strict.signed("7", "admin")) == 200
    assert (await strict.ask("GET", "/api/v1/sync/stock/1")).body["stock"] == 5
