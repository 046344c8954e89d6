"""Measures the backlog of each subscription: the messages that wait, and the age of the oldest."""

from dataclasses import dataclass

from pulsecart.runtime.db.database import Tx

SHOWN = 100  # subscriptions, those with the oldest messages
COUNTED = 10_000  # messages of a subscription; a longer backlog shows as that many
BACKLOGS = """
    SELECT q.subscription_id::text, s.status, b.messages, extract(epoch FROM %(now)s - b.oldest)::float
    FROM webhook_queues q JOIN webhook_subscriptions s USING (subscription_id)
    CROSS JOIN LATERAL (
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
    ) b
    WHERE s.deleted_at IS NULL AND b.messages > 0 ORDER BY b.oldest LIMIT %(shown)s
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A subscription with messages that are not delivered; ``age_s`` is that of the oldest."""

    subscription_id: str
    status: str
    messages: int
    age_s: float


async def backlogs(tx: Tx) -> list[Backlog]:
    """Return the SHOWN longest waiting backlogs."""
    named = {"now": tx.now, "counted": COUNTED, "shown": SHOWN}
    return [Backlog(*row) for row in await tx.rows(BACKLOGS, named)]
