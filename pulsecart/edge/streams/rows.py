"""Reads the current stock, orders and sales from PostgreSQL in bulk, for snapshots and the pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx
from pulsecart.shop.pricing.db.rows import sale_of
from pulsecart.shop.pricing.sale import Sale

SALES_MAX = 50
ORDERS_MAX = 20
ORDERS = """
    SELECT o.order_id::text, o.buyer_id, o.status, o.cancel_reason, o.version, o.total_minor, o.currency,
           o.created_at, o.updated_at, p.status
    FROM orders o LEFT JOIN payments p USING (order_id)
"""


@dataclass(frozen=True, slots=True)
class StockNow:
    """A product's stock; ``version`` is the sequence of its newest stock event."""

    product_id: str
    available: int
    version: int


@dataclass(frozen=True, slots=True)
class OrderNow:
    """An order; ``payment`` is the status of its payment, None before there is one."""

    order_id: str
    buyer_id: str
    status: str
    reason: str | None
    version: int
    total_minor: int
    currency: str
    created_at: datetime
    updated_at: datetime
    payment: str | None


@dataclass(frozen=True, slots=True)
class SaleNow:
    """
    A flash sale with its product and stock.

    Args:
        initial: all units that were ever stocked.
        product_limit: units of the product that one buyer may buy in total, at any time; 0 for no limit.
    """

    sale: Sale
    name: str
    available: int
    initial: int
    product_limit: int


async def stock(tx: Tx, product_ids: Collection[str]) -> dict[str, StockNow]:
    """Return the stock by product id; unknown ids are absent."""
    rows = await tx.rows(
        "SELECT product_id, available, version FROM stock WHERE product_id = ANY(%s)", (list(product_ids),)
    )
    return {row[0]: StockNow(*row) for row in rows}


async def orders(tx: Tx, order_ids: Collection[str]) -> dict[str, OrderNow]:
    """Return the orders by order id; unknown ids are absent."""
    rows = await tx.rows(ORDERS + "WHERE o.order_id = ANY(%s::uuid[])", (list(order_ids),))
    return {row[0]: OrderNow(*row) for row in rows}


async def newest_orders(tx: Tx, buyer_id: str) -> list[OrderNow]:
    """Return the buyer's ORDERS_MAX newest orders, newest first."""
    rows = await tx.rows(
        ORDERS
        + """WHERE o.order_id IN (SELECT order_id FROM orders_by_customer WHERE customer_id = %s
             ORDER BY ordered_at DESC NULLS LAST LIMIT %s) ORDER BY o.created_at DESC""",
        (buyer_id, ORDERS_MAX),
    )
    return [OrderNow(*row) for row in rows]


async def sales(tx: Tx) -> tuple[int, Sequence[SaleNow]]:
    """Return the calendar's version and the sales that are open, scheduled or ended within a day, by end."""
    rows = await tx.rows(
        """
        SELECT s.sale_id, s.product_id, s.price_minor, p.currency, s.starts_at, s.ends_at,
               CASE WHEN s.status = 'ENDED' OR s.ends_at <= %(now)s THEN 'ENDED'
                    WHEN s.starts_at > %(now)s THEN 'SCHEDULED' ELSE 'STARTED' END AS status,
               s.version, s.buyer_limit, p.name, k.available,
               (SELECT coalesce(sum(a.delta), 0) FROM inventory_adjustment a WHERE a.product_id = s.product_id),
               k.buyer_limit
        FROM flash_sales s JOIN products p USING (product_id) JOIN stock k USING (product_id)
        WHERE s.ends_at > %(now)s - interval '1 day'
        ORDER BY (s.status = 'ENDED' OR s.ends_at <= %(now)s), s.starts_at > %(now)s, s.ends_at, s.sale_id
        LIMIT %(most)s
        """,
        {"now": tx.now, "most": SALES_MAX},
    )
    version = await tx.row("SELECT version FROM sale_calendar")
    return (version[0] if version else 0), [SaleNow(sale_of(row), *row[9:]) for row in rows]
