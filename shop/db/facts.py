"""What a decision needs to know, read under lock in one round trip: orders first, then stock, each in id order."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from shop.db import orders
from shop.db.pool import as_json
from shop.decision import Facts, Intent, SaleRow, StockRow, Stored

STOCK = """
    SELECT s.product_id, s.available, s.epoch, s.version, s.buyer_limit, p.price_minor, p.currency,
           f.price_minor, f.starts_at, f.ends_at
    FROM stock s JOIN products p USING (product_id)
    LEFT JOIN flash_sales f ON f.product_id = s.product_id AND f.status <> 'ENDED'
    WHERE s.product_id = ANY(%s) ORDER BY s.product_id COLLATE "C"
"""
# = ANY(ARRAY(…)) and the lateral query use the primary key whatever the planner thinks of the table's size: IN (…) read
# all claims of a young table, several milliseconds of each batch.
KEYS = """
    SELECT encode(scope, 'hex'), order_id::text, encode(payload_hash, 'hex'), status, body FROM idempotency_keys
    WHERE scope = ANY(ARRAY(SELECT decode(value, 'hex') FROM json_array_elements_text(%s::json)))
"""
CLAIMS = """
    SELECT claim_id::text, state FROM claims
    WHERE claim_id = ANY(ARRAY(SELECT value::uuid FROM json_array_elements_text(%s::json)))
"""
UNITS = """
    SELECT u.* FROM json_array_elements(%s::json) AS asked, LATERAL (
        SELECT product_id, buyer_id, units FROM buyer_units
        WHERE product_id = asked ->> 0 AND buyer_id = asked ->> 1 OFFSET 0
    ) AS u
"""


async def under_lock(connection: AsyncConnection[TupleRow], intents: Sequence[Intent]) -> Facts:
    """Facts for ``shop.decision.decide``; the rows stay locked until the transaction, a pipelined one, ends."""
    asking = [intent for intent in intents if not intent.refused]
    waiting = sorted({intent.order.order_id for intent in intents if intent.waiting})
    lines = [(line.product_id, intent.order.buyer_id) for intent in asking for line in intent.order.lines]
    scopes = [intent.key.scope.hex() for intent in asking if intent.key]
    found: dict[str, AsyncCursor[Any]] = {}
    if waiting:
        found["waiting"] = await connection.execute(f"{orders.SELECT} FOR UPDATE OF o", (waiting,))
    if asking:
        products = sorted({product_id for product_id, _ in lines})
        claims = [intent.order.claim_id for intent in asking]
        found["stock"] = await connection.execute(f"{STOCK} FOR UPDATE OF s", (products,))
        found["claims"] = await connection.execute(CLAIMS, (as_json(claims),))
        found["units"] = await connection.execute(UNITS, (as_json(lines),))
    if scopes:
        found["keys"] = await connection.execute(KEYS, (as_json(scopes),))
    rows = {name: await cursor.fetchall() for name, cursor in found.items()}
    return Facts(
        stock=_stock(rows.get("stock", [])),
        units={(product_id, buyer_id): units for product_id, buyer_id, units in rows.get("units", [])},
        claims=dict(rows.get("claims", [])),
        keys=_keys(rows.get("keys", [])),
        waiting=orders.by_id(rows.get("waiting", [])),
    )


async def stock_rows(connection: AsyncConnection[TupleRow], products: Sequence[str]) -> dict[str, StockRow]:
    """Stock and prices as they stand, without a lock: for orders that do not take stock yet."""
    return _stock(await (await connection.execute(STOCK, (list(products),))).fetchall())


async def stored_keys(connection: AsyncConnection[TupleRow], scopes: Sequence[bytes]) -> dict[bytes, Stored]:
    """The first replies to these Idempotency-Keys."""
    asked = as_json([scope.hex() for scope in scopes])
    return _keys(await (await connection.execute(KEYS, (asked,))).fetchall())


def _stock(rows: Iterable[Any]) -> dict[str, StockRow]:
    found = {}
    for product_id, *row, sale_price, starts_at, ends_at in rows:
        sale = SaleRow(sale_price, starts_at, ends_at) if starts_at else None
        found[product_id] = replace(StockRow(*row), sale=sale)
    return found


def _keys(rows: Iterable[Any]) -> dict[bytes, Stored]:
    return {
        bytes.fromhex(scope): Stored(order_id, bytes.fromhex(payload_hash), status, body)
        for scope, order_id, payload_hash, status, body in rows
    }
