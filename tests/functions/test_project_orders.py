"""project_orders: stores each order's newest state, for events in any order and number."""

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent
from tests.client import Client

TABLE = (
    "SELECT customer_id, order_id::text, status, total_minor, currency, ordered_at, updated_at, sequence"
    " FROM orders_by_customer ORDER BY 1, 2"
)


async def history(client: Client) -> list[CloudEvent]:
    """Place orders that end in every state; return their events."""
    paid, canceled, lost = [(await client.buy(user=7, product=product)).body["orderId"] for product in (2, 3, 2)]
    await client.buy(user=8, product=2, path="async")
    await client.restock(4, 0)
    await client.buy(user=8, product=4, path="async")
    for event in await client.log("ecommerce.order.order.created.v1"):
        await client.handle_event("reserve", event)
    await client.ask("POST", f"/api/v1/orders/{canceled}/cancel")
    for name, operation, left_out in (("confirmed", "pay", lost), ("paid", "fulfil", "")):
        for event in await client.log(f"ecommerce.order.order.{name}.v1"):
            if event.subject != left_out:
                assert await client.handle_event(operation, event) == 204
    assert paid
    return [event for event in await client.log() if event.type in client.operations["project_orders"].events]


async def project(client: Client, events: list[CloudEvent]) -> Any:
    received = await asyncio.gather(*(client.handle_event("project_orders", event) for event in events))
    assert set(received) <= {204}
    return await client.rows(TABLE)


async def rebuilt(client: Client, events: list[CloudEvent]) -> Any:
    """Empty the table, replay the log event by event, and return the table."""
    await client.rows("DELETE FROM orders_by_customer RETURNING 1")
    for event in events:
        assert await client.handle_event("project_orders", event) == 204
    return await client.rows(TABLE)


async def test_the_projection_says_of_each_order_what_the_order_s_row_says(client: Client) -> None:
    table = await project(client, await history(client))
    orders = await client.rows(
        "SELECT buyer_id, order_id::text, status, total_minor, currency FROM orders ORDER BY 1, 2"
    )
    assert [row[:5] for row in table] == orders
    assert {row[2] for row in table} == {"CONFIRMED", "CANCELED", "FULFILLED"}


@pytest.mark.parametrize("seed", range(6))
async def test_old_state_and_events_in_any_order_and_twice_are_the_rebuilt_state(client: Client, seed: int) -> None:
    events = await history(client)
    chance = random.Random(seed)
    shuffled = [*events, *chance.sample(events, len(events) // 2)]
    chance.shuffle(shuffled)
    half = chance.randrange(len(shuffled))
    await project(client, shuffled[:half])
    grown = await project(client, shuffled[half:])
    assert grown == await rebuilt(client, events)


async def test_a_late_first_event_adds_what_only_it_says_and_turns_nothing_back(client: Client) -> None:
    created, confirmed = [e for e in await history(client) if e.sequence in (1, 2)][:2]
    assert created.subject == confirmed.subject
    await project(client, [confirmed])
    ((_, _, status, total, *_),) = await client.rows(TABLE)
    assert (status, total) == ("CONFIRMED", None)
    ((_, _, status, total, currency, ordered_at, _, sequence),) = await project(client, [created])
    assert (status, total, currency, sequence) == ("CONFIRMED", 5900, "USD", 2)
    assert ordered_at == created.time


async def test_one_bad_event_spoils_none_that_comes_with_it(client: Client) -> None:
    events = await history(client)
    bad = replace(events[0], id="bad", data=(events[0].data or b"").replace(b'"orderId":"', b'"orderId":"x'))
    received = await asyncio.gather(
        *(client.handle_event("project_orders", event) for event in [*events[:4], bad, *events[4:]])
    )
    assert received[4] == 400
    assert [*received[:4], *received[5:]] == [204] * len(events)


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"orderId": 1}'])
async def test_data_that_breaks_the_contract_is_a_dead_letter_at_once(client: Client, data: bytes) -> None:
    event = (await history(client))[0]
    assert await client.handle_event("project_orders", replace(event, data=data)) == 400
    assert await client.handle_event("project_orders", replace(event, type="ecommerce.order.order.lost.v1")) == 400
