"""A rebuild removes from a copy the data of events that this shop never published."""

from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from pulsecart.admin import rebuild
from pulsecart.edge.streams import topics
from pulsecart.edge.streams.news import STATUS_KEY
from pulsecart.processes import registry
from pulsecart.runtime.db import outbox
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.shop.catalogue.copies.copies import SALE, STOCK
from tests.admin.test_rebuild import _shop_with_a_past, _streams, silent
from tests.client import Client

GIGANTIC = 10**17
ORDERS = "SELECT * FROM orders_by_customer ORDER BY customer_id, order_id"
HISTORY = "SELECT * FROM order_status_history ORDER BY order_id, sequence"


def forged(event: CloudEvent, sequence: int | None = GIGANTIC, **data: Any) -> CloudEvent:
    """Return the same event with another sequence and other data."""
    reported = json.encode(json.decode(event.data or b"{}") | data)
    number = event.sequence if sequence is None else sequence
    return replace(event, id=new_id(), data=reported, extensions={**event.extensions, "sequence": padded(number)})


async def log(client: Client, *events: CloudEvent) -> None:
    """Write events to the log, as an admin's POST to the embedded broker, or an old database, may have done."""
    async with client.deps.db.transaction() as tx:
        await outbox.append(tx.connection, events)


async def test_an_impossible_sequence_freezes_no_order_for_good(client: Client) -> None:
    await _shop_with_a_past(client)
    grown, reported = await client.rows(ORDERS), await _streams(client)
    (confirmed, *_) = await client.log("ecommerce.order.order.confirmed.v1")
    frozen = forged(confirmed)
    for name in ("project_orders", "notify"):
        assert await client.handle_event(name, frozen) == 204
    assert await client.rows(ORDERS) != grown
    await log(client, frozen)
    await rebuild.orders_by_customer(client.deps, silent)
    await rebuild.streams(client.deps, silent)
    assert await client.rows(ORDERS) == grown
    assert {key: value for key, value in (await _streams(client)).items() if key != b"news"} == {
        key: value for key, value in reported.items() if key != b"news"
    }
    (paid, *_) = await client.log("ecommerce.order.order.confirmed.v1")
    assert await client.handle_event("pay", paid) == 204
    (paid, *_) = await client.log("ecommerce.order.order.paid.v1")
    assert await client.handle_event("notify", paid) == 204
    newest: Any = await client.deps.redis.xrevrange(topics.ORDER.topic(str(paid.subject)).key, count=1)
    assert newest[0][0] == f"{paid.sequence}-0".encode()


async def test_an_order_that_never_was_leaves_someone_s_list_and_its_stream(client: Client) -> None:
    await _shop_with_a_past(client)
    grown = await client.rows(ORDERS)
    (created, *_) = await client.log("ecommerce.order.order.created.v1")
    invented = forged(created, 1, orderId=new_id(), userId="victim")
    for name in ("project_orders", "notify"):
        assert await client.handle_event(name, invented) == 204
    another_buyers = forged(created, None, userId="victim")
    assert await client.handle_event("project_orders", another_buyers) == 204
    await log(client, invented, another_buyers)
    await rebuild.orders_by_customer(client.deps, silent)
    await rebuild.streams(client.deps, silent)
    assert await client.rows(ORDERS) == grown
    stream = topics.ORDER.topic(json.decode(invented.data or b"{}")["orderId"])
    assert await client.deps.redis.exists(stream.key, STATUS_KEY + stream.id) == 0


async def test_stock_and_sales_with_an_impossible_sequence_are_reported_again(client: Client) -> None:
    await _shop_with_a_past(client)
    (started,) = await client.log("ecommerce.pricing.flash_sale.started.v1")
    (adjusted, *_) = await client.log("ecommerce.inventory.stock.adjusted.v1")
    for event in await client.log():
        if event.type in registry.load("refresh_products").events:
            assert await client.handle_event("refresh_products", event) == 204
    keys = (SALE + json.decode(started.data or b"")["productId"], STOCK + str(adjusted.partitionkey))
    held = [await client.deps.redis.get(key) for key in keys]
    for event in (forged(started, price=0.01), forged(adjusted, available=9)):
        for name in ("notify", "refresh_products"):
            assert await client.handle_event(name, event) == 204
        await log(client, event)
    assert [await client.deps.redis.get(key) for key in keys] != held
    await rebuild.streams(client.deps, silent)
    await rebuild.catalogue(client.deps, silent)
    assert [await client.deps.redis.get(key) for key in keys] == held
    for key in (topics.SALES.key, topics.STOCK.topic(adjusted.partitionkey).key):
        newest: Any = await client.deps.redis.xrevrange(key, count=1)
        assert int(newest[0][0].partition(b"-")[0]) < GIGANTIC


@pytest.mark.parametrize("sequence", [GIGANTIC, 10**19, 10**30])
async def test_the_history_of_an_order_takes_no_step_that_it_has_not_reached(client: Client, sequence: int) -> None:
    await _shop_with_a_past(client)
    grown = await client.rows(HISTORY)
    (confirmed, *_) = await client.log("ecommerce.order.order.confirmed.v1")
    await log(client, forged(confirmed, sequence))
    assert await rebuild.order_history(client.deps, silent) == 0
    assert await client.rows(HISTORY) == grown
    await client.rows(
        "INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor)"
        " SELECT order_id, 999, 'PAID', now(), 'operation:forged' FROM orders LIMIT 1 RETURNING 1"
    )
    assert await rebuild.order_history(client.deps, silent) == 0
    assert await client.rows(HISTORY) == grown


async def test_one_event_of_the_log_that_cannot_be_handled_ends_no_rebuild(client: Client) -> None:
    await _shop_with_a_past(client)
    grown = await client.rows(ORDERS)
    (created, *_) = await client.log("ecommerce.order.order.created.v1")
    await log(client, replace(created, id=new_id(), data=b'{"orderId": 7}'), replace(created, id=new_id(), data=None))
    output: list[str] = []
    await rebuild.orders_by_customer(client.deps, output.append)
    assert await client.rows(ORDERS) == grown
    assert any("2 of them were rejected again" in line for line in output)
    assert sum("our tables contradict" in line or "answered 4" in line for line in output) == 2
