"""order_status_history: every step of an order, written by the transaction that takes it."""

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
        sequence: of the event that told of it.
        actor: ``buyer:<id>`` or ``operation:<name>``.
        caused_by: the id of the event that caused it; None where a request did.
        caused_by_source: that event's source; None also in steps older than the column, or completed from the log.
        xid: of its transaction: in the log, its events have the same.
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
    """Remember the state that ``order`` has now; ``actor`` is this operation where none is given."""
    source, caused_by = tx.causes.get(order.order_id) or tx.cause.event or (None, None)
    step = (order.order_id, order.version, order.status, actor or tx.actor, caused_by, key, source or None)
    tx.collect(INSERT_SQL, step)


def buyer(order: Order) -> str:
    """The order's own buyer, as an actor."""
    return f"buyer:{order.buyer_id}"


async def of_order(tx: "Tx", order_id: str) -> Sequence[Step]:
    """An order's steps, the first first."""
    rows = await tx.rows(
        """
        SELECT sequence, status, happened_at, actor, caused_by, idempotency_key, xid::text, caused_by_source
        FROM order_status_history WHERE order_id = %s ORDER BY sequence
        """,
        (order_id,),
    )
    return [Step(*row) for row in rows]


async def complete(tx: "Tx") -> int:
    """Write what the history lacks, from the log, and remove steps that no order has reached; how many were written."""
    await tx.execute(
        "DELETE FROM order_status_history AS h USING orders AS o"
        " WHERE h.order_id = o.order_id AND h.sequence > o.version"
    )
    row = await tx.row("SELECT complete_order_history()")
    return int(row[0]) if row else 0
