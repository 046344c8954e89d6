"""Derived data is rebuilt from PostgreSQL, and equals the deleted data."""

from typing import Any

import pytest

from pulsecart.admin import rebuild
from pulsecart.admin.demo import GOODS
from pulsecart.processes import registry
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.shop.orders.events import OrderPaid
from tests.client import Client


def silent(output: str) -> None: ...


async def _shop_with_a_past(client: Client) -> None:
    for user in range(5):
        await client.buy(user=user)
        await client.buy(user=user, path="async")

    for event in await client.log("ecommerce.order.order.created.v1"):
        if event.extensions["orderstatus"] == "pending":
            assert await client.handle_event("reserve", event) == 204
    for event in await client.log():
        for name in ("project_orders", "notify"):
            if event.type in registry.load(name).events:
                assert await client.handle_event(name, event) == 204


async def _streams(client: Client) -> dict[bytes, Any]:
    keys = sorted([key async for key in client.deps.redis.scan_iter("news:*", _type="stream")])
    return {key: await client.deps.redis.xrange(key) for key in keys}


async def test_the_projection_rebuilt_from_the_log_is_the_one_that_grew_with_it(client: Client) -> None:
    await _shop_with_a_past(client)
    projected = "SELECT * FROM orders_by_customer ORDER BY customer_id, order_id"
    grown = await client.rows(projected)
    assert len(grown) == 10
    await client.rows("UPDATE orders_by_customer SET status = 'wrong' RETURNING 1")
    assert await rebuild.orders_by_customer(client.deps, silent) >= 20
    assert await client.rows(projected) == grown


async def test_a_history_completed_from_the_log_is_the_one_that_was_written_with_it(client: Client) -> None:
    await _shop_with_a_past(client)
    (event, *_) = await client.log("ecommerce.order.order.confirmed.v1")
    assert await client.handle_event("pay", event) == 204
    assert (await client.ask("POST", f"/api/v1/orders/{event.subject}/cancel")).status == 200
    (event, *_) = await client.log("ecommerce.order.order.canceled.v1")
    assert await client.handle_event("refund", event) == 204
    written = "SELECT order_id, sequence, status, happened_at, actor, xid FROM order_status_history ORDER BY 1, 2"
    grown = await client.rows(written)
    assert await rebuild.order_history(client.deps, silent) == 0
    await client.rows("DELETE FROM order_status_history RETURNING 1")
    assert await rebuild.order_history(client.deps, silent) == len(grown)
    assert await client.rows(written) == grown


async def test_a_redis_without_data_gets_the_same_streams_and_the_same_gate(client: Client) -> None:
    await _shop_with_a_past(client)
    streams = await _streams(client)
    assert len(streams) >= 11
    await client.deps.redis.flushall()
    assert await rebuild.streams(client.deps, silent) > 0
    assert await rebuild.gate(client.deps, silent) == len(GOODS)
    assert await _streams(client) == streams
    (left,) = await client.deps.redis.hmget("{gate}:p:1", ["left"])
    assert int(left or 0) == 990
    assert (await client.buy(user=0)).body["type"].endswith("limit-reached")


def odd(data: bytes, **attributes: str) -> CloudEvent:
    """Return an order.paid as another system could have written it."""
    about = {"partitionkey": new_id(), "sequence": padded(3), **attributes}
    return CloudEvent(id=new_id(), source="/elsewhere", type=OrderPaid.TYPE, data=data, extensions=about)


async def test_a_log_that_holds_odd_events_is_replayed_without_them_and_each_is_named(client: Client) -> None:
    await _shop_with_a_past(client)
    projected = "SELECT * FROM orders_by_customer ORDER BY customer_id, order_id"
    grown = await client.rows(projected)
    strangers = [odd(b"{"), odd(b"\xff"), odd(b'{"orderId": "\\u0000"}'), odd(b"[]"), odd(b"{}", sequence="x" * 3000)]
    async with client.deps.db.transaction() as tx:
        tx.events.extend(strangers)
    reported: list[str] = []
    assert await rebuild.orders_by_customer(client.deps, reported.append) >= 20
    assert await client.rows(projected) == grown
    assert [sum(event.id in line for line in reported) for event in strangers] == [1] * len(strangers)
    assert any(f"{len(strangers)} of them were rejected again" in line for line in reported)
    assert all(line.isprintable() for line in reported)
    for part in ("order-history", "streams", "catalogue"):
        await rebuild.PARTS[part](client.deps, reported.append)


async def test_one_event_that_cannot_be_taken_now_is_tried_again_and_costs_itself_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _shop_with_a_past(client)
    projected = "SELECT * FROM orders_by_customer ORDER BY customer_id, order_id"
    grown = await client.rows(projected)
    (broken, later, *_) = await client.log("ecommerce.order.order.created.v1")
    handle, tried = Operation.handle_event, []

    async def sometimes(self: Operation, event: CloudEvent, *rest: Any) -> Reply:
        tried.append(event.id)
        if event.id == broken.id or (event.id == later.id and tried.count(later.id) == 1):
            return Reply(500, b"no ink")
        return await handle(self, event, *rest)

    monkeypatch.setattr(rebuild, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(Operation, "handle_event", sometimes)
    reported: list[str] = []
    with pytest.raises(rebuild.Incomplete, match="1 events could not be handled"):
        await rebuild.orders_by_customer(client.deps, reported.append)
    assert any(broken.id in line and "no ink" in line for line in reported)
    found = await client.rows("SELECT order_id FROM orders_by_customer WHERE ordered_at IS NOT NULL")
    assert len(found) == len(grown) - 1


async def test_a_history_is_completed_over_a_log_that_holds_odd_events(client: Client) -> None:
    await _shop_with_a_past(client)
    steps = await client.row("SELECT count(*) FROM order_status_history")
    (order_id,) = await client.row("SELECT order_id::text FROM orders LIMIT 1")
    for extensions in ('{"sequence": "\\u0000"}', '{"sequence": "99999999999999999999", "orderstatus": "odd"}', "[]"):
        await client.rows(
            "INSERT INTO outbox (id, source, type, partitionkey, extensions) VALUES"
            " (gen_random_uuid(), '/pulsecart/odd', 'ecommerce.order.order.created.v1', %s, %s) RETURNING 1",
            order_id,
            extensions,
        )
    await client.rows("DELETE FROM order_status_history RETURNING 1")
    assert await rebuild.order_history(client.deps, silent) == steps[0]
