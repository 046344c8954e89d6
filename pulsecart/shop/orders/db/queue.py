"""Measures the asynchronous path: orders waiting, the oldest one's age, and the rates of intake and decisions."""

from dataclasses import dataclass

from pulsecart.runtime.db.database import Tx

WINDOW_S = 10


@dataclass(frozen=True, slots=True)
class Queue:
    """``accepted_per_s`` and ``decided_per_s`` cover the last WINDOW_S seconds; ``lag``: trigger → unread events."""

    pending: int
    oldest_s: float
    accepted_per_s: float
    decided_per_s: float
    lag: dict[str, int]


async def queue(tx: Tx) -> Queue:
    """Count the queue in PostgreSQL."""
    row = await tx.row(
        """
        SELECT (SELECT count(*) FROM orders WHERE status = 'PENDING'),
               (SELECT coalesce(extract(epoch FROM %(now)s - min(created_at)), 0) FROM orders
                WHERE status = 'PENDING')
        """,
        {"now": tx.now},
    )
    rates = await tx.row(
        """
        SELECT count(*) FILTER (WHERE type = 'ecommerce.order.order.created.v1'
                                AND extensions ->> 'orderstatus' = 'pending'),
               count(*) FILTER (WHERE type IN ('ecommerce.order.order.confirmed.v1',
                                               'ecommerce.order.order.canceled.v1'))
        FROM outbox WHERE position > (SELECT coalesce(max(position), 0) - 20000 FROM outbox)
                      AND time > %s - make_interval(secs => %s)
        """,
        (tx.now, WINDOW_S),
    )
    lag = await tx.rows(
        """
        SELECT c.trigger, (SELECT count(*) FROM outbox o WHERE o.xid >= pg_snapshot_xmax(c.window_from)
                           AND o.position > c.position)
                        + (SELECT count(*) FROM trigger_backlog b WHERE b.trigger = c.trigger)
        FROM trigger_cursors c
        """
    )
    pending, oldest = row or (0, 0)
    accepted, decided = rates or (0, 0)
    return Queue(pending, float(oldest), accepted / WINDOW_S, decided / WINDOW_S, dict(lag))
