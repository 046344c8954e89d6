"""Reads the attempts of all messages of a subscription, the one that began last first, without their bodies."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pulsecart.runtime.db.database import Tx

LOG: Final = """
    SELECT a.message_id::text, e.type, e.subject, a.number, a.probe, a.began_at, a.ended_at, a.result, a.status,
        a.error, a.next_try_at
    FROM webhook_delivery_attempts a JOIN webhook_messages m USING (message_id) JOIN webhook_events e USING (event_key)
    WHERE a.subscription_id = %(id)s
"""
ORDER: Final = "ORDER BY a.began_at DESC, a.message_id DESC, a.number DESC LIMIT %(limit)s"
BEFORE: Final = """
    AND (a.began_at, a.message_id, a.number) < (%(at)s, %(message)s::uuid, %(number)s)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Names an attempt, after which a page begins; ``at`` is its beginning."""

    message_id: str
    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """Holds an attempt without headers and bodies; one without ``ended_at`` is in flight, or its process ended."""

    message_id: str
    type: str
    subject: str | None
    number: int
    probe: bool
    began_at: datetime
    ended_at: datetime | None
    result: str | None
    status: int | None
    error: str | None
    next_try_at: datetime | None


async def place_of(tx: Tx, subscription_id: str, message_id: str, number: int) -> Place | None:
    """Return the place of an attempt; None: the subscription has no such attempt."""
    row = await tx.row(
        """
        SELECT began_at FROM webhook_delivery_attempts
        WHERE message_id = %s AND number = %s AND subscription_id = %s
        """,
        (message_id, number, subscription_id),
    )
    return Place(message_id, number, row[0]) if row else None


async def newest(tx: Tx, subscription_id: str, *, before: Place | None, limit: int) -> list[LoggedAttempt]:
    """Return the newest attempts; with ``before``, those that began before that one."""
    named: dict[str, Any] = {"id": subscription_id, "limit": limit}
    if before is not None:
        named |= {"at": before.at, "message": before.message_id, "number": before.number}
    rows = await tx.rows(f"{LOG} {BEFORE if before else ''} {ORDER}", named)
    return [LoggedAttempt(*row) for row in rows]
