"""Reads the facts for a decision under lock in one round trip: orders first, then stock, each in id order."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pulsecart.runtime.db.database import as_json
from pulsecart.runtime.first_replies import FirstReply
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.decide import CartRow, Facts, Intent
from pulsecart.shop.pricing.terms import SaleRow, StockRow

STOCK = """
    SELECT s.product_id, s.available, s.epoch, s.version, s.buyer_limit, p.price_minor, p.currency,
           f.price_minor, f.starts_at, f.ends_at, f.sale_id, f.buyer_limit
    FROM stock s JOIN products p USING (product_id)
    LEFT JOIN flash_sales f ON f.product_id = s.product_id AND f.status <> 'ENDED'
    WHERE s.product_id = ANY(%s) AND p.deleted_at IS NULL ORDER BY s.product_id COLLATE "C"
"""
CARTS = """
    SELECT cart_id::text, version, status = 'OPEN' FROM carts WHERE cart_id = ANY(%s::uuid[])
    ORDER BY cart_id FOR UPDATE
"""
# = ANY(ARRAY(…)) and LATERAL … OFFSET 0 force the planner to use the primary keys. IN (SELECT …) became a hash join
# in a plan cached while the tables were empty: it read all claims, keys and buyers for each batch.
KEYS = """
    SELECT json_agg(json_build_array(encode(scope, 'hex'), order_id, encode(payload_hash, 'hex'), status, body))
    FROM idempotency_keys
    WHERE scope = ANY(ARRAY(SELECT decode(value, 'hex') FROM json_array_elements_text(%s::json)))
"""
KNOWN = f"""
    SELECT (SELECT json_agg(json_build_array(claim_id, state)) FROM claims
            WHERE claim_id = ANY(ARRAY(SELECT value::uuid FROM json_array_elements_text(%s::json)))),
           (SELECT json_agg(json_build_array(product_id, buyer_id, units))
            FROM json_array_elements(%s::json) AS asked, LATERAL (
                SELECT product_id, buyer_id, units FROM buyer_units
                WHERE product_id = asked ->> 0 AND buyer_id = asked ->> 1 OFFSET 0
            ) AS known),
           (SELECT json_agg(json_build_array(sale_id, buyer_id, units))
            FROM json_array_elements(%s::json) AS asked, LATERAL (
                SELECT sale_id, buyer_id, units FROM sale_units
                WHERE product_id = asked ->> 0 AND buyer_id = asked ->> 1 OFFSET 0
            ) AS in_sales),
           (SELECT json_agg(json_build_array(sale_id, buyer_limit)) FROM flash_sales WHERE sale_id = ANY(%s)),
           ({KEYS})
"""


async def under_lock(connection: AsyncConnection[TupleRow], intents: Sequence[Intent]) -> Facts:
    """
    Read the facts for ``pulsecart.shop.orders.decide.decide`` in a pipelined transaction; the rows stay locked until
    it ends.
    """
    open_intents = [intent for intent in intents if not intent.refused]
    waiting = sorted({intent.order.order_id for intent in intents if intent.waiting})
    lines = [(line.product_id, intent.order.buyer_id) for intent in open_intents for line in intent.order.lines]
    scopes = [intent.key.scope.hex() for intent in open_intents if intent.key]
    claims = [intent.order.claim_id for intent in open_intents]
    products = sorted({product_id for product_id, _ in lines})
    carts = sorted({intent.cart.cart_id for intent in open_intents if intent.cart})
    facts = Facts()
    if carts:  # before the contended stock rows
        opened = await connection.execute(CARTS, (carts,))
    if waiting:
        rows = await connection.execute(f"{orders.SELECT} FOR UPDATE OF o", (waiting,))
    stock = await connection.execute(f"{STOCK} FOR UPDATE OF s", (products,))
    buyers = as_json(lines)
    known = await connection.execute(KNOWN, (as_json(claims), buyers, buyers, _sales(open_intents), as_json(scopes)))
    if waiting:
        facts.waiting = orders.by_id(await rows.fetchall())
    if carts:
        facts.carts = {row[0]: CartRow(*row) for row in await opened.fetchall()}
    facts.stock = _stock(await stock.fetchall())
    won, units, in_sales, limits, keys = (part or () for part in await known.fetchone() or ())
    facts.claims = dict(won)
    facts.sale_units = {(sale_id, buyer_id): count for sale_id, buyer_id, count in in_sales}
    facts.sale_limits = dict(limits)
    facts.units = {(product_id, buyer_id): count for product_id, buyer_id, count in units}
    facts.keys = _keys(keys)
    return facts


async def stock_rows(connection: AsyncConnection[TupleRow], products: Sequence[str]) -> dict[str, StockRow]:
    """Return current stock and prices without a lock, for orders that do not take stock yet."""
    return _stock(await (await connection.execute(STOCK, (list(products),))).fetchall())


async def stored_keys(connection: AsyncConnection[TupleRow], scopes: Sequence[bytes]) -> dict[bytes, FirstReply]:
    """Return the first replies stored under these Idempotency-Keys."""
    wanted = as_json([scope.hex() for scope in scopes])
    row = await (await connection.execute(KEYS, (wanted,))).fetchone()
    return _keys(row[0] or () if row else ())


async def ended_keys(connection: AsyncConnection[TupleRow], wanted: Sequence[tuple[bytes, str]]) -> list[bool]:
    """
    Whether, for each pair, an order won the claim and its Idempotency-Key has been deleted since.

    Args:
        asked: (scope, claim). The claims are read first: a won claim was committed together with its key.
    """
    claims = [claim for _, claim in wanted]
    found = await connection.execute(
        "SELECT claim_id::text FROM claims WHERE claim_id = ANY(%s::uuid[]) AND state = 'won'", (claims,)
    )
    won = {claim for (claim,) in await found.fetchall()}
    stored = await stored_keys(connection, [scope for scope, _ in wanted])
    return [claim in won and scope not in stored for scope, claim in wanted]


def _sales(candidates: Iterable[Intent]) -> list[str]:
    """Return the sales that waiting orders belong to; these may have ended."""
    return list(
        {line.sale_id for intent in candidates if intent.waiting for line in intent.order.lines if line.sale_id}
    )


def _stock(rows: Iterable[Any]) -> dict[str, StockRow]:
    found = {}
    for product_id, available, epoch, version, buyer_limit, price_minor, currency, *sale_row in rows:
        row = (available, epoch, version, buyer_limit, price_minor, currency)
        sale = SaleRow(*sale_row) if sale_row[0] is not None else None
        found[product_id] = StockRow(*row, sale)
    return found


def _keys(rows: Iterable[Any]) -> dict[bytes, FirstReply]:
    return {
        bytes.fromhex(scope): FirstReply(bytes.fromhex(payload_hash), status, body, order_id)
        for scope, order_id, payload_hash, status, body in rows
    }
