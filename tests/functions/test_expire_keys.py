"""expire: an Idempotency-Key answers for a day (seed 002 §9); then its rows are deleted, and it is new again."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pulsecart.runtime.db import first_replies
from tests.client import Answered, Client, connect
from tests.functions.test_expire import PING
from tests.functions.turned import clock, deps
from tests.turned_clock import START, TurnedClock

__all__ = ["clock", "deps"]
DAY_S = 24 * 3600
AGES = "SELECT payload_hash FROM idempotency_keys ORDER BY payload_hash"
LINES = {"userId": 7, "items": [{"productId": 2, "qty": 1}]}


async def purchase(client: Client) -> Answered:
    return await client.buy(product=2, key="k")


async def accept(client: Client) -> Answered:
    return await client.buy(product=2, key="k", path="async")


async def order(client: Client) -> Answered:
    return await client.ask("POST", "/api/v1/orders", LINES, idempotency_key="k")


async def product(client: Client) -> Answered:
    """Create a product; after the key has expired, the same SKU is refused."""
    return await client.ask("POST", "/api/v1/products", {"sku": "S", "name": "S", "price": 1}, idempotency_key="k")


async def end_waiting(client: Client) -> None:
    """Decide every waiting order and charge every confirmed one."""
    for name, operation in (("created", "reserve"), ("confirmed", "pay")):
        for event in await client.log(f"ecommerce.order.order.{name}.v1"):
            assert await client.handle_event(operation, event) == 204


@pytest.mark.parametrize("ask", [purchase, accept, order, product])
async def test_a_key_answers_the_same_for_a_day_and_is_new_after_it(
    client: Client, clock: TurnedClock, ask: Any
) -> None:
    first = await ask(client)
    assert first.status in (200, 201, 202)
    await end_waiting(client)
    clock.at = START + first_replies.KEPT - timedelta(microseconds=1)
    assert await client.handle_event("expire", PING) == 204
    again = await ask(client)
    assert (again.status, again.body) == (first.status, first.body)
    clock.at = START + first_replies.KEPT
    assert await client.handle_event("expire", PING) == 204
    new = await ask(client)
    if ask is product:
        assert new.body["type"].endswith("sku-taken")
    else:
        assert (new.status, new.body["orderId"] == first.body["orderId"]) == (first.status, False)
        assert await client.row("SELECT count(*) FROM orders") == (2,)
    assert (await ask(client)).body == new.body


async def test_a_cart_whose_key_has_ended_is_ordered_no_second_time(client: Client, clock: TurnedClock) -> None:
    cart = (await client.ask("POST", "/api/v1/carts", {"userId": 7})).headers["location"]
    assert (await client.ask("PUT", f"{cart}/items/2", {"qty": 1})).status == 200
    first, second = [await _check_out(client, cart) for _ in range(2)]
    assert (first.status, second.body) == (200, first.body)
    clock.turn(DAY_S)
    assert await client.handle_event("expire", PING) == 204
    third = await _check_out(client, cart)
    assert (third.status, third.body["type"].rsplit("/")[-1]) == (409, "cart-closed")


async def _check_out(client: Client, cart: str) -> Answered:
    return await client.ask("POST", f"{cart}/checkout", {"userId": 7}, idempotency_key="k")


async def test_the_sweep_removes_what_is_a_day_old_and_nothing_else(client: Client, clock: TurnedClock) -> None:
    for n, age_s in enumerate((2 * DAY_S, DAY_S, DAY_S - 1, 0)):
        await _write(client, n, clock, age_s)
    assert await first_replies.end_old(client.deps.db) == 2
    assert [bytes(row[0]) for row in await client.rows(AGES)] == [b"\x02", b"\x03"]
    assert await first_replies.end_old(client.deps.db) == 0


async def test_the_key_of_an_order_that_still_waits_is_kept_until_it_is_decided(
    client: Client, clock: TurnedClock
) -> None:
    first = await accept(client)
    clock.turn(3 * DAY_S)
    assert await client.handle_event("expire", PING) == 204
    assert (await accept(client)).body == first.body
    await end_waiting(client)
    assert await client.handle_event("expire", PING) == 204
    assert await client.rows(AGES) == []


async def test_two_sweeps_at_once_share_the_rows_in_batches_and_wait_for_no_one(
    client: Client, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_replies, "AT_ONCE", 7)
    for n in range(60):
        await _write(client, n, clock, DAY_S + n)
    with connect(client.deps.settings.database_url) as other, other.transaction():
        other.execute("SELECT FROM idempotency_keys WHERE payload_hash = '\\x05' FOR UPDATE")
        ended = await asyncio.gather(*(first_replies.end_old(client.deps.db) for _ in range(2)))
        while left := await first_replies.end_old(client.deps.db):
            ended.append(left)
    assert sum(ended) == 59
    assert [bytes(row[0]) for row in await client.rows(AGES)] == [b"\x05"]


async def _write(client: Client, n: int, clock: TurnedClock, age_s: float) -> None:
    await client.rows(
        "INSERT INTO idempotency_keys (scope, payload_hash, order_id, status, body, created_at)"
        " VALUES (%s, %s, gen_random_uuid(), 200, '{}', %s) RETURNING 1",
        bytes([n]),
        bytes([n]),
        clock.now() - timedelta(seconds=age_s),
    )
