"""Reads the attempts of all messages of a subscription, the one that began last first, without their bodies."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pulsecart.runtime.db.database import Tx

LOG: Final = """
    SELECT a.message_id::text, e.type, e.subject, a.number, a.probe, a.began_at, a.ended_at, a.result, a.status,
        a.error, a.next_try_at
    FROM webhook_delivery_attempts a JOIN webhook_messages m USING (message_id) JOIN webhook_events e USING (event_key)
    WHERE a.subscription_id = %(id)s
"""
ORDER: Final = "ORDER BY a.began_at DESC, a.message_id DESC, a.number DESC LIMIT %(limit)s"
# The first comparison is redundant: it is the one that uses the index.
BEFORE: Final = """
    AND a.began_at <= p.began_at AND (a.began_at, a.message_id, a.number) < (p.began_at, p.message_id, p.number)
"""
PLACE: Final = """
    WITH p AS (SELECT began_at, message_id, number FROM webhook_delivery_attempts
               WHERE message_id = %(message)s AND number = %(number)s AND subscription_id = %(id)s)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Names an attempt, after which a page begins."""

    message_id: str
    number: int


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


async def newest(tx: Tx, subscription_id: str, *, before: Place | None, limit: int) -> list[LoggedAttempt]:
    """Return the newest attempts; with ``before``, those that began before that one, or none if it is unknown."""
    named = {"id": subscription_id, "limit": limit}
    if before is None:
        rows = await tx.rows(f"{LOG} {ORDER}", named)
    else:
        sql = f"{PLACE} {LOG.replace('WHERE', 'CROSS JOIN p WHERE')} {BEFORE} {ORDER}"
        rows = await tx.rows(sql, named | {"message": before.message_id, "number": before.number})
    return [LoggedAttempt(*row) for row in rows]
