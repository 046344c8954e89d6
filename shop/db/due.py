"""Orders whose time to pay is over."""

from datetime import datetime

from shop.db import orders, stock
from shop.db.pool import Tx

AT_ONCE = 50


async def first_pay_by(tx: Tx) -> datetime | None:
    """When the next CONFIRMED order falls due; None where there is none."""
    row = await tx.row("SELECT min(pay_by) FROM orders WHERE status = 'CONFIRMED'")
    return row[0] if row else None


async def cancel_overdue(tx: Tx) -> int:
    """Cancel up to AT_ONCE overdue orders, but those another transaction is moving just now; how many."""
    found = await tx.rows(
        """
        SELECT order_id::text FROM orders WHERE status = 'CONFIRMED' AND pay_by <= %s
        ORDER BY order_id LIMIT %s FOR UPDATE SKIP LOCKED
        """,
        (tx.now, AT_ONCE),
    )
    overdue = list(orders.by_id(await tx.rows(orders.SELECT, ([row[0] for row in found],))).values())
    await stock.lock(tx, {line.product_id for order in overdue for line in order.lines})
    for order in overdue:
        await orders.cancel(tx, order, "PAYMENT_EXPIRED")
    return len(overdue)
