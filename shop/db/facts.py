"""What a decision needs to know, read under lock in one round trip: orders first, then stock, each in id order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from shop.db import orders
from shop.decision import Facts, Intent, SaleRow, StockRow, Stored

STOCK = """
    SELECT s.product_id, s.available, s.epoch, s.version, s.buyer_limit, p.price_minor, p.currency
    FROM stock s JOIN products p USING (product_id)
    WHERE s.product_id = ANY(%s) ORDER BY s.product_id
"""
SALES = """
    SELECT product_id, price_minor, starts_at, ends_at FROM flash_sales
    WHERE product_id = ANY(%s) AND status <> 'ENDED'
"""
KEYS = "SELECT scope, order_id::text, payload_hash, status, body FROM idempotency_keys WHERE scope = ANY(%s)"
CLAIMS = "SELECT claim_id::text, state FROM claims WHERE claim_id = ANY(%s::uuid[])"
UNITS = """
    SELECT product_id, buyer_id, units FROM buyer_units
    WHERE (product_id, buyer_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""


async def under_lock(connection: AsyncConnection[TupleRow], intents: Sequence[Intent]) -> Facts:
    """Facts for ``shop.decision.decide``; the rows stay locked until the transaction ends."""
    asking = [intent for intent in intents if not intent.refused]
    waiting = sorted({intent.order.order_id for intent in intents if intent.waiting})
    products = sorted({line.product_id for intent in asking for line in intent.order.lines})
    pairs = [(line.product_id, intent.order.buyer_id) for intent in asking for line in intent.order.lines]
    found: dict[str, AsyncCursor[Any]] = {}
    async with connection.pipeline():
        if waiting:
            found["waiting"] = await connection.execute(f"{orders.SELECT} FOR UPDATE OF o", (waiting,))
        found["stock"] = await connection.execute(f"{STOCK} FOR UPDATE OF s", (products,))
        found["sales"] = await connection.execute(SALES, (products,))
        found["claims"] = await connection.execute(CLAIMS, ([intent.order.claim_id for intent in asking],))
        found["keys"] = await connection.execute(KEYS, ([i.key.scope for i in intents if i.key],))
        found["units"] = await connection.execute(UNITS, ([p for p, _ in pairs], [b for _, b in pairs]))
    return Facts(
        stock=await _stock(found["stock"], found["sales"]),
        units={(product, buyer): units for product, buyer, units in await found["units"].fetchall()},
        claims=dict(await found["claims"].fetchall()),
        keys={bytes(scope): _stored(*row) for scope, *row in await found["keys"].fetchall()},
        waiting=orders.by_id(await found["waiting"].fetchall()) if waiting else {},
    )


async def stock_rows(connection: AsyncConnection[TupleRow], products: Sequence[str]) -> dict[str, StockRow]:
    """Stock and prices as they stand, without a lock: for orders that do not take stock yet."""
    async with connection.pipeline():
        stock = await connection.execute(STOCK, (list(products),))
        sales = await connection.execute(SALES, (list(products),))
    return await _stock(stock, sales)


async def stored_keys(connection: AsyncConnection[TupleRow], scopes: Sequence[bytes]) -> dict[bytes, Stored]:
    """The first replies to these Idempotency-Keys."""
    rows = await (await connection.execute(KEYS, (list(scopes),))).fetchall()
    return {bytes(scope): _stored(*row) for scope, *row in rows}


async def _stock(stock: AsyncCursor[Any], sales: AsyncCursor[Any]) -> dict[str, StockRow]:
    sale_of = {product: SaleRow(*row) for product, *row in await sales.fetchall()}
    return {row[0]: replace(StockRow(*row[1:]), sale=sale_of.get(row[0])) for row in await stock.fetchall()}


def _stored(order_id: str, payload_hash: bytes, status: int, body: str) -> Stored:
    return Stored(order_id, bytes(payload_hash), status, body)
