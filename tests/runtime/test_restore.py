"""What can be thrown away is made anew from PostgreSQL, and is what it was."""

from typing import Any

from runtime import registry, restore
from runtime.demo import GOODS
from tests.client import Client

SILENT = [].append


async def _shop_with_a_past(client: Client) -> None:
    for user in range(5):
        await client.buy(user=user)
        await client.buy(user=user, path="async")

    for event in await client.log("ecommerce.order.order.created.v1"):
        if event.extensions["orderstatus"] == "pending":
            assert await client.hear("reserve", event) == 204
    for event in await client.log():
        for name in ("project_orders", "notify"):
            if event.type in registry.load(name).events:
                assert await client.hear(name, event) == 204


async def _streams(client: Client) -> dict[bytes, Any]:
    keys = sorted([key async for key in client.deps.redis.scan_iter("news:*", _type="stream")])
    return {key: await client.deps.redis.xrange(key) for key in keys}


async def test_the_projection_rebuilt_from_the_log_is_the_one_that_grew_with_it(client: Client) -> None:
    await _shop_with_a_past(client)
    projected = "SELECT * FROM orders_by_customer ORDER BY customer_id, order_id"
    grown = await client.rows(projected)
    assert len(grown) == 10
    await client.rows("UPDATE orders_by_customer SET status = 'wrong' RETURNING 1")
    assert await restore.orders_by_customer(client.deps, SILENT) >= 20
    assert await client.rows(projected) == grown


async def test_a_history_completed_from_the_log_is_the_one_that_was_written_with_it(client: Client) -> None:
    await _shop_with_a_past(client)
    (event, *_) = await client.log("ecommerce.order.order.confirmed.v1")
    assert await client.hear("pay", event) == 204
    assert (await client.ask("POST", f"/api/v1/orders/{event.subject}/cancel")).status == 200
    (event, *_) = await client.log("ecommerce.order.order.canceled.v1")
    assert await client.hear("refund", event) == 204
    written = "SELECT order_id, sequence, status, happened_at, actor, xid FROM order_status_history ORDER BY 1, 2"
    grown = await client.rows(written)
    assert await restore.order_history(client.deps, SILENT) == 0
    await client.rows("DELETE FROM order_status_history RETURNING 1")
    assert await restore.order_history(client.deps, SILENT) == len(grown)
    assert await client.rows(written) == grown


async def test_a_redis_without_data_gets_the_same_streams_and_the_same_gate(client: Client) -> None:
    await _shop_with_a_past(client)
    streams = await _streams(client)
    assert len(streams) >= 11
    await client.deps.redis.flushall()
    assert await restore.streams(client.deps, SILENT) > 0
    assert await restore.gate(client.deps, SILENT) == len(GOODS)
    assert await _streams(client) == streams
    (left,) = await client.deps.redis.hmget("{gate}:p:1", ["left"])
    assert int(left) == 990
    assert (await client.buy(user=0)).body["type"].endswith("limit-reached")
