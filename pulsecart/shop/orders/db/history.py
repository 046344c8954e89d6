"""Stores order_status_history: every step of an order, written in the transaction that makes the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pulsecart.shop.orders.order import Order

if TYPE_CHECKING:
    from pulsecart.runtime.db.database import Tx

INSERT_SQL = """
    INSERT INTO order_status_history
        (happened_at, order_id, sequence, status, actor, caused_by, idempotency_key, caused_by_source)
    SELECT %s, (value ->> 0)::uuid, (value ->> 1)::bigint, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
        value ->> 6
    FROM json_array_elements(%s::json)
"""


@dataclass(frozen=True, slots=True)
class Step:
    """
    Args:
        sequence: the sequence of the event that reported the step.
        actor: ``buyer:<id>`` or ``operation:<name>``.
        caused_by: the id of the event that caused the step; None when a request caused it.
        caused_by_source: that event's source; None also in steps older than the column or restored from the log.
        xid: the id of the step's transaction; its events in the log have the same xid.
    """

    sequence: int
    status: str
    at: datetime
    actor: str
    caused_by: str | None
    idempotency_key: str | None
    xid: str
    caused_by_source: str | None = None


def note(tx: "Tx", order: Order, actor: str | None = None, *, key: str | None = None) -> None:
    """Record the order's current status; ``actor`` defaults to this operation."""
    source, caused_by = tx.causes.get(order.order_id) or tx.cause.event or (None, None)
    step = (order.order_id, order.version, order.status, actor or tx.actor, caused_by, key, source or None)
    tx.collect(INSERT_SQL, step)


def buyer(order: Order) -> str:
    """Return the order's buyer as an actor."""
    return f"buyer:{order.buyer_id}"


async def of_order(tx: "Tx", order_id: str) -> Sequence[Step]:
    """Return an order's steps, oldest first."""
    rows = await tx.rows(
        """
        SELECT sequence, status, happened_at, actor, caused_by, idempotency_key, xid::text, caused_by_source
        FROM order_status_history WHERE order_id = %s ORDER BY sequence
        """,
        (order_id,),
    )
    return [Step(*row) for row in rows]


async def complete(tx: "Tx") -> int:
    """Restore missing steps from the log and delete steps beyond the order's version; return how many were written."""
    await tx.execute(
        "DELETE FROM order_status_history AS h USING orders AS o"
        " WHERE h.order_id = o.order_id AND h.sequence > o.version"
    )
    row = await tx.row("SELECT complete_order_history()")
    return int(row[0]) if row else 0
