"""Stores the projection orders_by_customer: each order's newest status, by the sequence of its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import rfc3339
from pulsecart.shop.money import decimal_amount

PAGE = 100


@dataclass(frozen=True, slots=True)
class Row:
    """The data of one order event; only order.created has ``total_minor``, ``currency`` and ``ordered_at``."""

    customer_id: str
    order_id: str
    status: str
    updated_at: datetime
    sequence: int
    total_minor: int | None = None
    currency: str | None = None
    ordered_at: datetime | None = None


async def project(tx: Tx, rows: Sequence[Row]) -> None:
    """Keep each order's newest sequence; a late order.created only adds the columns that other events lack."""
    newest = _merged(rows)
    await tx.execute(
        """
        INSERT INTO orders_by_customer AS p
            (customer_id, order_id, status, updated_at, sequence, total_minor, currency, ordered_at)
        SELECT * FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[],
                             %s::text[], %s::timestamptz[])
        ON CONFLICT (customer_id, order_id) DO UPDATE SET
            status = CASE WHEN excluded.sequence > p.sequence THEN excluded.status ELSE p.status END,
            updated_at = greatest(p.updated_at, excluded.updated_at),
            sequence = greatest(p.sequence, excluded.sequence),
            total_minor = coalesce(p.total_minor, excluded.total_minor),
            currency = coalesce(p.currency, excluded.currency),
            ordered_at = coalesce(p.ordered_at, excluded.ordered_at)
        """,
        tuple([getattr(row, name) for row in newest] for name in Row.__slots__),
    )


def _merged(rows: Sequence[Row]) -> list[Row]:
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        at = (row.customer_id, row.order_id)
        merged[at] = _newer(merged[at], row) if at in merged else row
    return [merged[at] for at in sorted(merged)]


def _newer(one: Row, other: Row) -> Row:
    late, early = (one, other) if one.sequence >= other.sequence else (other, one)
    complete = late if late.total_minor is not None else early
    return Row(
        late.customer_id,
        late.order_id,
        late.status,
        max(one.updated_at, other.updated_at),
        late.sequence,
        complete.total_minor,
        complete.currency,
        complete.ordered_at,
    )


async def orders_of(tx: Tx, customer_id: str, *, before: str | None = None, limit: int = PAGE) -> list[dict[str, Any]]:
    """Return the customer's newest orders; with ``before``, those older than that order."""
    rows = await tx.rows(
        """
        SELECT order_id::text, status, total_minor, currency, ordered_at, updated_at FROM orders_by_customer
        WHERE customer_id = %s AND order_id < coalesce(%s, 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid
        ORDER BY order_id DESC LIMIT %s
        """,
        (customer_id, before, limit),
    )
    return [_document(*row) for row in rows]


def _document(
    order_id: str,
    status: str,
    total_minor: int | None,
    currency: str | None,
    ordered_at: datetime | None,
    updated_at: datetime,
) -> dict[str, Any]:
    document: dict[str, Any] = {"orderId": order_id, "status": status, "updatedAt": rfc3339(updated_at)}
    if total_minor is not None and currency is not None:
        document |= {"totalAmount": decimal_amount(total_minor, currency), "currency": currency}
    if ordered_at is not None:
        document["orderedAt"] = rfc3339(ordered_at)
    return document


async def clear(tx: Tx) -> None:
    """Delete all rows; the projection can be rebuilt from the log."""
    await tx.execute("DELETE FROM orders_by_customer")
