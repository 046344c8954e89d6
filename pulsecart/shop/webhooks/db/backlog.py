"""Measures the backlog of each subscription: the messages that wait, and the age of the oldest."""

from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx

SHOWN = 100  # subscriptions, those with the oldest messages
COUNTED = 10_000  # messages of a subscription; a longer backlog shows as that many
WAITING = """
    SELECT count(*) AS messages, min(created_at) AS oldest FROM (
        (SELECT m.created_at FROM webhook_messages m
         WHERE m.subscription_id = q.subscription_id AND m.status = 'PENDING' AND m.due_at IS NOT NULL
         ORDER BY m.due_at, m.position LIMIT %(counted)s)
        UNION ALL
        (SELECT m.created_at FROM webhook_messages m
         WHERE m.subscription_id = q.subscription_id AND m.status = 'PENDING' AND m.due_at IS NULL
            AND m.lane IS NOT NULL
         LIMIT %(counted)s)
    ) AS waiting
"""
BACKLOGS = f"""
    SELECT q.subscription_id::text, s.status, b.messages, extract(epoch FROM %(now)s - b.oldest)::float
    FROM webhook_queues q JOIN webhook_subscriptions s USING (subscription_id) CROSS JOIN LATERAL ({WAITING}) b
    WHERE s.deleted_at IS NULL AND b.messages > 0 ORDER BY b.oldest LIMIT %(shown)s
"""
ONE = f"""
    SELECT least(b.messages, %(counted)s), b.oldest, least(f.messages, %(counted)s), q.failures,
        CASE WHEN NOT q.held THEN q.due_at END
    FROM webhook_queues q CROSS JOIN LATERAL ({WAITING}) b CROSS JOIN LATERAL (
        SELECT count(*) AS messages FROM (
            SELECT FROM webhook_messages m WHERE m.subscription_id = q.subscription_id AND m.status = 'FAILED'
            LIMIT %(counted)s
        ) AS failed
    ) f
    WHERE q.subscription_id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A subscription with messages that are not delivered; ``age_s`` is that of the oldest."""

    subscription_id: str
    status: str
    messages: int
    age_s: float


@dataclass(frozen=True, slots=True)
class OwnBacklog:
    """
    Holds the backlog of one subscription.

    Args:
        messages: that wait; ``failed``: that failed. A count of COUNTED means that many or more.
        oldest_at: when the oldest waiting one was created.
        failures: failed attempts since the last success.
        next_try_at: the next attempt at the earliest; None: none is due, or the subscription is held.
    """

    messages: int
    oldest_at: datetime | None
    failed: int
    failures: int
    next_try_at: datetime | None


async def backlogs(tx: Tx) -> list[Backlog]:
    """Return the SHOWN longest waiting backlogs."""
    named = {"now": tx.now, "counted": COUNTED, "shown": SHOWN}
    return [Backlog(*row) for row in await tx.rows(BACKLOGS, named)]


async def backlog_of(tx: Tx, subscription_id: str) -> OwnBacklog:
    """Return the backlog of a subscription."""
    row = await tx.row(ONE, {"id": subscription_id, "counted": COUNTED})
    return OwnBacklog(*row) if row else OwnBacklog(0, None, 0, 0, None)
