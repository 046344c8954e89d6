"""Reads the events of an order and their delivery state from the tables: log, finished, waiting, dead letters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.broker.dead_letters.table import GivenUp, Place, given_up
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import CloudEvent, Identity
from pulsecart.runtime.printable import storable
from pulsecart.shop.orders.order import Order

# A time outside datetime's range and extensions that are not strings are left out: a passport shows all other data.
EVENT = """
    SELECT position, logged_at, id, source, type, subject,
        CASE WHEN time BETWEEN '0002-01-01Z' AND '9999-01-01Z' THEN time END, dataschema, data, extensions::text,
        datacontenttype, time_text
    FROM outbox WHERE partitionkey = %s
"""
# The cursors are those of the Triggers, or the relay's where the cluster's broker delivers the events.
PASSED = """
    SELECT c.trigger, o.position FROM outbox o, trigger_cursors c
    WHERE o.position = ANY(%s) AND (
        pg_visible_in_snapshot(o.xid, c.window_from)
        OR pg_visible_in_snapshot(o.xid, c.window_to) AND o.position <= c.position
    )
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """One event of the order with its position in the log."""

    position: int
    logged_at: datetime
    event: CloudEvent


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that failed ``attempts`` times, or waits behind a failed one (``due_at`` is infinity, here None)."""

    attempts: int
    due_at: datetime | None
    error_code: int | None


@dataclass(frozen=True, slots=True)
class Deliveries:
    """
    The delivery state of an order's events.

    Args:
        cursors: names of all readers of the log.
        passed: (trigger, position) for each trigger whose cursor is past the event.
        finished: (operation, event) → time at which the operation finished the event.
        waiting: (trigger, position) → the delivery.
        given_up: the dead letters of these events.
        unanswered: (operation, event) whose calls to external systems got no response.
    """

    cursors: frozenset[str]
    passed: frozenset[tuple[str, int]]
    finished: dict[tuple[str, Identity], datetime]
    waiting: dict[tuple[str, int], Waiting]
    given_up: dict[Place, GivenUp]
    unanswered: frozenset[tuple[str, Identity]] = frozenset()


async def events_of(tx: Tx, order: Order, xids: Sequence[str]) -> list[Logged]:
    """
    Return the order's events by position.

    Args:
        xids: transaction numbers of the order's steps: the log has an index on them, and none on its keys. A log
            restored from a dump has other numbers; then the whole log is searched.
    """
    rows = await tx.rows(f"{EVENT} AND xid = ANY(%s::xid8[]) ORDER BY position", (order.order_id, list(xids)))
    if len(rows) < order.version:
        rows = await tx.rows(f"{EVENT} ORDER BY position", (order.order_id,))
    return [
        Logged(
            row[0],
            row[1],
            CloudEvent(
                id=row[2],
                source=row[3],
                type=row[4],
                subject=row[5],
                time=row[6],
                dataschema=row[7],
                data=row[8],
                extensions=_texts(row[9]),
                datacontenttype=row[10],
                time_text=row[11],
            ),
        )
        for row in rows
    ]


async def deliveries_of(
    tx: Tx, logged: Sequence[Logged], triggers: Sequence[str], operations: Sequence[str]
) -> Deliveries:
    """Return the delivery state of these events for each of the triggers and the operations that they call."""
    positions, ids = [one.position for one in logged], [one.event.id for one in logged]
    sources = sorted({one.event.source for one in logged})
    cursors = await tx.rows("SELECT trigger FROM trigger_cursors")
    passed = await tx.rows(PASSED, (positions,))
    finished = await tx.rows(
        "SELECT operation, source, event_id, consumed_at FROM consumed"
        " WHERE operation = ANY(%s) AND source = ANY(%s) AND event_id = ANY(%s)",
        (list(operations), sources, ids),
    )
    waiting = await tx.rows(
        "SELECT trigger, position, attempts, CASE WHEN isfinite(due_at) THEN due_at END, error_code"
        " FROM trigger_backlog WHERE trigger = ANY(%s) AND position = ANY(%s)",
        (list(triggers), positions),
    )
    return Deliveries(
        frozenset(name for (name,) in cursors),
        frozenset((trigger, position) for trigger, position in passed),
        {(operation, Identity(source, id)): at for operation, source, id, at in finished},
        {(row[0], row[1]): Waiting(*row[2:]) for row in waiting},
        await given_up(tx, triggers, [one.event for one in logged]),
    )


def _texts(extensions: str) -> dict[str, str]:
    try:
        found = json.loads(extensions)
    except (ValueError, RecursionError):
        return {}
    members = found.items() if isinstance(found, dict) else ()
    return {storable(name): storable(value) for name, value in members if isinstance(value, str)}


async def first_reply(tx: Tx, scope: bytes) -> tuple[int, datetime] | None:
    """
    Return the status and time of the first response to an Idempotency-Key, or None once the key has expired.

    See ``pulsecart.runtime.db.first_replies``.
    """
    row = await tx.row("SELECT status, created_at FROM idempotency_keys WHERE scope = %s", (scope,))
    return (row[0], row[1]) if row else None
