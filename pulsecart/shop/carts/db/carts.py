"""Stores carts in PostgreSQL. Queries ignore expired carts; creating a cart also deletes some of them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.shop.carts.cart import Cart, Item, Offer
from pulsecart.shop.orders.db import facts

KEPT = timedelta(days=30)
ANONYMOUS_KEPT = timedelta(days=7)
SWEPT_AT_ONCE = 50
SELECT = """
    SELECT c.cart_id::text, c.buyer_id, c.status, c.version, c.order_id::text, c.expires_at,
           (SELECT json_agg(json_build_array(i.product_id, i.qty, i.seen_minor, i.currency, i.added_at)
                            ORDER BY i.added_at, i.product_id)
            FROM cart_items i WHERE i.cart_id = c.cart_id)
    FROM carts c
"""
INSERT_ITEMS = """
    INSERT INTO cart_items (cart_id, product_id, qty, seen_minor, currency, added_at)
    SELECT %s, product_id, qty, seen_minor, currency, added_at FROM json_to_recordset(%s::json)
        AS t (product_id text, qty int, seen_minor bigint, currency text, added_at timestamptz)
"""


async def find(tx: Tx, cart_id: str) -> Cart | None:
    """Return the cart; None when it does not exist or has expired."""
    rows = await tx.rows(f"{SELECT} WHERE c.cart_id = %s AND c.expires_at > %s", (cart_id, tx.now))
    return next(iter(_carts(rows)), None)


async def locked(tx: Tx, cart_ids: Iterable[str]) -> dict[str, Cart]:
    """Lock the existing carts, in id order, and return them by id."""
    found = await tx.rows(
        "SELECT cart_id::text FROM carts WHERE cart_id = ANY(%s::uuid[]) AND expires_at > %s"
        " ORDER BY cart_id FOR UPDATE",
        (list(cart_ids), tx.now),
    )  # read after locking: no other transaction can change them now
    rows = await tx.rows(f"{SELECT} WHERE c.cart_id = ANY(%s::uuid[])", ([row[0] for row in found],))
    return {cart.cart_id: cart for cart in _carts(rows)}


async def open_of(tx: Tx, buyer_id: str) -> Cart | None:
    """Return the buyer's open cart; a buyer has at most one."""
    rows = await tx.rows(
        f"{SELECT} WHERE c.buyer_id = %s AND c.status = 'OPEN' AND c.expires_at > %s", (buyer_id, tx.now)
    )
    return next(iter(_carts(rows)), None)


async def create(tx: Tx, cart_id: str, buyer_id: str | None) -> Cart:
    """Create an empty cart; for a buyer with an open cart, return that cart."""
    await sweep(tx)
    if buyer_id is not None:
        await tx.execute(
            "DELETE FROM carts WHERE buyer_id = %s AND status = 'OPEN' AND expires_at <= %s", (buyer_id, tx.now)
        )
    kept = KEPT if buyer_id is not None else ANONYMOUS_KEPT
    await tx.execute(
        """
        INSERT INTO carts (cart_id, buyer_id, expires_at, created_at, updated_at) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (buyer_id) WHERE status = 'OPEN' DO NOTHING
        """,
        (cart_id, buyer_id, tx.now + kept, tx.now, tx.now),
    )
    cart = await find(tx, cart_id) if buyer_id is None else await open_of(tx, buyer_id)
    assert cart is not None  # noqa: S101  # inserted above, or existed before
    return cart


async def save(tx: Tx, cart: Cart, items: Sequence[Item], status: str = "OPEN") -> Cart:
    """Write the items of a locked cart; its expiry starts again in full."""
    await tx.execute("DELETE FROM cart_items WHERE cart_id = %s", (cart.cart_id,))
    await tx.execute(INSERT_ITEMS, (cart.cart_id, as_json(items)))
    kept = KEPT if cart.buyer_id is not None else ANONYMOUS_KEPT
    rows = await tx.rows(
        """
        UPDATE carts SET version = version + 1, status = %s, expires_at = %s, updated_at = %s WHERE cart_id = %s
        RETURNING version, expires_at
        """,
        (status, tx.now + kept, tx.now, cart.cart_id),
    )
    return Cart(
        cart_id=cart.cart_id,
        buyer_id=cart.buyer_id,
        status=status,
        version=rows[0][0],
        order_id=cart.order_id,
        expires_at=rows[0][1],
        items=tuple(items),
    )


async def ordered_as(tx: Tx, order_id: str) -> str | None:
    """Return the id of the cart that became this order; None when there was no cart or it has been deleted."""
    row = await tx.row("SELECT cart_id::text FROM carts WHERE order_id = %s", (order_id,))
    return row[0] if row else None


async def sweep(tx: Tx) -> int:
    """Delete expired carts, at most SWEPT_AT_ONCE, skipping locked ones; return how many."""
    swept = await tx.rows(
        """
        DELETE FROM carts WHERE cart_id IN (
            SELECT cart_id FROM carts WHERE expires_at <= %s ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        (tx.now, SWEPT_AT_ONCE),
    )
    return len(swept)


async def offers(tx: Tx, product_ids: Iterable[str]) -> dict[str, Offer]:
    """Return the current names, stock and terms of those of these products that are sold."""
    wanted = sorted(set(product_ids))
    stock = await facts.stock_rows(tx.connection, wanted)
    names = await tx.rows("SELECT product_id, name FROM products WHERE product_id = ANY(%s)", (wanted,))
    return {product_id: Offer(name, stock[product_id]) for product_id, name in names if product_id in stock}


def _carts(rows: Iterable[Sequence[Any]]) -> list[Cart]:
    named = ("cart_id", "buyer_id", "status", "version", "order_id", "expires_at")
    return [Cart(**dict(zip(named, row, strict=False)), items=_items(row[-1])) for row in rows]


def _items(rows: Sequence[Sequence[Any]] | None) -> tuple[Item, ...]:
    named = ("product_id", "qty", "seen_minor", "currency", "added_at")
    return tuple(msgspec.convert(dict(zip(named, row, strict=True)), Item) for row in rows or ())
