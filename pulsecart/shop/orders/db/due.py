"""Finds and cancels orders whose payment deadline has passed."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pulsecart.runtime.db.database import Tx
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.orders.db import orders

AT_ONCE = 50


async def first_pay_by(tx: Tx, but: Collection[str] = ()) -> datetime | None:
    """Return the earliest payment deadline of the CONFIRMED orders not in ``but``; None when there are none."""
    row = await tx.row(
        "SELECT min(pay_by) FROM orders WHERE status = 'CONFIRMED' AND order_id <> ALL(%s::uuid[])", (list(but),)
    )
    return row[0] if row else None


async def overdue(tx: Tx, but: Collection[str] = ()) -> list[str]:
    """Return up to AT_ONCE overdue orders that are not in ``but``."""
    found = await tx.rows(
        """
        SELECT order_id::text FROM orders
        WHERE status = 'CONFIRMED' AND pay_by <= %s AND order_id <> ALL(%s::uuid[]) ORDER BY order_id LIMIT %s
        """,
        (tx.now, list(but), AT_ONCE),
    )
    return [row[0] for row in found]


async def cancel(tx: Tx, order_ids: Sequence[str]) -> set[str]:
    """Cancel those of these orders that are overdue and not locked by another transaction; return their ids."""
    found = await tx.rows(
        """
        SELECT order_id::text FROM orders WHERE order_id = ANY(%s::uuid[]) AND status = 'CONFIRMED' AND pay_by <= %s
        ORDER BY order_id FOR UPDATE SKIP LOCKED
        """,
        (list(order_ids), tx.now),
    )
    late = orders.by_id(await tx.rows(orders.SELECT, ([row[0] for row in found],)))
    await stock.lock(tx, {line.product_id for order in late.values() for line in order.lines})
    for order in late.values():
        await orders.cancel(tx, order, "PAYMENT_EXPIRED")
    return set(late)
