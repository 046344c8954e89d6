"""Reads a shop's complete state, without ids, times and order: two runs of one script must have the same."""

import json
from collections import Counter
from typing import Any

import msgspec

from tests.client import Client

# What each table comes to. A buyer stands for its orders; an event is named by its aggregate and its place there.
TABLES = {
    "products": "SELECT product_id, sku, price_minor, version FROM products",
    "product_price_history": "SELECT product_id, price_minor, currency, valid_to IS NULL FROM product_price_history",
    "product_search": "SELECT product_id, sequence, deleted, name FROM product_search",
    "catalogue_keys": "SELECT status FROM catalogue_keys",
    "stock": "SELECT product_id, available, buyer_limit, version FROM stock",
    "inventory_adjustment": "SELECT product_id, delta, reason FROM inventory_adjustment",
    "flash_sales": "SELECT sale_id, product_id, price_minor, status, version FROM flash_sales",
    "sale_calendar": "SELECT version FROM sale_calendar",
    "orders": "SELECT buyer_id, path, status, cancel_reason, total_minor, currency, version, pay_by IS NULL,"
    " claim_id IS NULL FROM orders",
    "order_status_history": "SELECT buyer_id, sequence, h.status, actor, caused_by IS NULL, idempotency_key"
    " FROM order_status_history h JOIN orders USING (order_id)",
    "order_items": "SELECT buyer_id, line, product_id, qty, price_minor FROM order_items JOIN orders USING (order_id)",
    "carts": "SELECT buyer_id, status, version FROM carts",
    "cart_items": "SELECT buyer_id, product_id, qty, seen_minor FROM cart_items JOIN carts USING (cart_id)",
    "claims": "SELECT state FROM claims",
    "buyer_units": "SELECT product_id, buyer_id, units FROM buyer_units",
    "sale_units": "SELECT product_id, buyer_id, sale_id, units FROM sale_units",
    "idempotency_keys": "SELECT buyer_id, k.status FROM idempotency_keys k JOIN orders USING (order_id)",
    "payments": "SELECT buyer_id, p.status, amount_minor, p.currency FROM payments p JOIN orders USING (order_id)",
    "orders_by_customer": "SELECT customer_id, status, total_minor, currency, sequence, ordered_at IS NULL"
    " FROM orders_by_customer",
    "outbox": "SELECT type, coalesce(buyer_id, partitionkey), extensions ->> 'sequence'"
    " FROM outbox LEFT JOIN orders ON order_id::text = partitionkey",
    "consumed": "SELECT c.operation, type, coalesce(buyer_id, partitionkey), extensions ->> 'sequence' FROM consumed c"
    " JOIN outbox o ON o.id = c.event_id LEFT JOIN orders ON order_id::text = partitionkey",
    "trigger_backlog": "SELECT trigger, partitionkey FROM trigger_backlog",
    "trigger_cursors": "SELECT trigger FROM trigger_cursors",
    "dead_letters": "SELECT trigger, type, event::text FROM dead_letters",
    "charges": "SELECT buyer_id, c.status, c.amount_minor, c.currency FROM simulated_gateway.charges c"
    " JOIN payments p ON payment_id::text = idempotency_key JOIN orders USING (order_id)",
    "behaviour": "SELECT mode, share FROM simulated_gateway.behaviour",
    "partner_products": "SELECT product_id, partner_id FROM partner_products",
    "partner_sources": "SELECT partner_id, ended_at IS NULL FROM partner_sources",
    "partner_source_secrets": "SELECT ends_at IS NULL FROM partner_source_secrets",
    "webhook_subscriptions": "SELECT url, status, version FROM webhook_subscriptions",
    "webhook_subscription_types": "SELECT pattern FROM webhook_subscription_types",
    "webhook_secrets": "SELECT count(*) FROM webhook_secrets",
    "webhook_queues": "SELECT held, failures, slowed FROM webhook_queues",
    "webhook_events": "SELECT type, subject FROM webhook_events",
    "webhook_messages": "SELECT status, retries FROM webhook_messages",
    "webhook_delivery_attempts": "SELECT result, status FROM webhook_delivery_attempts",
}
LEFT_OUT = {"schema_migrations", "ping_ticks", "order_calls"}  # of the machine and its tries, not of the script
NAMES = """
    SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""
NOT_IN_STREAMS = {"at", "endsAt", "orderId", "payBy", "startsAt", "traceparent"}
State = dict[str, Counter[Any]]


async def final_state(client: Client) -> State:
    """Return every table, every product's gate, and the newest entry of each live stream."""
    there = {name for (name,) in await client.rows(NAMES)}
    assert there - LEFT_OUT <= TABLES.keys(), f"say what is compared of {there - LEFT_OUT - TABLES.keys()}"
    state: State = {name: Counter(await client.rows(sql)) for name, sql in TABLES.items() if name in there}
    buyers = dict(await client.rows("SELECT order_id::text, buyer_id FROM orders"))
    redis = client.deps.redis
    return state | {
        "gate": await _gate(redis),
        "streams": await _streams(redis, buyers),
        "copies": await _copies(redis),
    }


async def _gate(redis: Any) -> Counter[Any]:
    shelves: Counter[Any] = Counter()
    for product in sorted(name.decode() for name in await redis.smembers("{gate}:products")):
        left, limit = await redis.hmget(f"{{gate}}:p:{product}", ["left", "limit"])
        units = await redis.hgetall(f"{{gate}}:b:{product}")
        buyers = sorted((buyer.decode(), int(n)) for buyer, n in units.items())
        leases = await redis.zcard(f"{{gate}}:z:{product}")
        shelves[product, int(left), int(limit), tuple(buyers), leases] += 1
    return shelves


async def _copies(redis: Any) -> Counter[Any]:
    """Return the data that events alone have written: stock, and the prices of sales, each with its sequence."""
    output: Counter[Any] = Counter()
    for kind in ("inventory", "flash_price"):
        async for key in redis.scan_iter(f"{kind}:*"):
            sequence, _, document = (await redis.get(key)).partition(b" ")
            what = msgspec.json.decode(document)
            output[key.decode(), int(sequence), what.get("available"), what.get("price")] += 1
    return output


async def _streams(redis: Any, buyers: dict[str, str]) -> Counter[Any]:
    """Return the newest entry of each stream; late entries were rejected, so older ones may be missing."""
    newest: Counter[Any] = Counter()
    async for key in redis.scan_iter("news:*", _type="stream"):
        *where, what = key.decode().split(":")
        ((entry, fields),) = await redis.xrevrange(key, count=1)
        news = msgspec.json.decode(fields[b"d"])
        output = {name: value for name, value in news.items() if name not in NOT_IN_STREAMS}
        about = (*where, buyers.get(what, what), entry.decode(), fields[b"e"].decode())
        newest[(*about, json.dumps(output, sort_keys=True))] += 1
    return newest


def differences(plain: State, other: State) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return by name the rows that only one of the two states has."""
    return {
        name: (
            sorted((plain[name] - other[name]).elements(), key=repr),
            sorted((other[name] - plain[name]).elements(), key=repr),
        )
        for name in plain
        if plain[name] != other[name]
    }
