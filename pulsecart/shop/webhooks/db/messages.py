"""Reads and changes webhook_messages; the caller has locked the queues of their subscriptions (``queue.lock``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.shop.webhooks.schedule import Step

# Each subquery takes so many rows of an index, whatever the number of messages and subscriptions; the loop over them
# ends when enough are taken, so that those which come first in ``rooms`` are served.
TAKE = """
    WITH taken AS (
        UPDATE webhook_messages m SET claimed_until = %(until)s, due_at = %(until)s, attempts = m.attempts + 1
        FROM (
            SELECT picked.message_id
            FROM json_to_recordset(%(rooms)s::json) AS r (subscription_id uuid, room int, early boolean)
            CROSS JOIN LATERAL (
                SELECT w.message_id FROM webhook_messages w
                WHERE w.subscription_id = r.subscription_id AND w.status = 'PENDING' AND w.due_at IS NOT NULL
                    AND w.due_at <= CASE WHEN r.early THEN 'infinity' ELSE %(now)s END
                ORDER BY w.due_at, w.position LIMIT r.room
            ) picked
            LIMIT %(most)s
        ) p
        WHERE m.message_id = p.message_id
        RETURNING m.message_id, m.subscription_id, m.event_key, m.lane, m.retries, m.attempts, m.position
    )
    SELECT t.message_id::text, t.subscription_id::text, t.lane, t.retries, t.attempts, e.type, e.body
    FROM taken t JOIN webhook_events e USING (event_key) ORDER BY t.position
"""
# A result counts for the message's newest attempt; a delivery counts for any, since the endpoint has the message. The
# state is looked up by OFFSET 0 apart from the update: after a quiet time PostgreSQL expects no PENDING message, and
# would compare each one with each result (45 ms for 156 results among 6,000 messages; 1.5 ms with it).
STEP = """
    UPDATE webhook_messages m SET status = t.status, retries = t.retries, due_at = t.due_at, claimed_until = NULL,
        ended_at = CASE WHEN t.status = 'PENDING' THEN NULL ELSE %s::timestamptz END
    FROM (
        SELECT r.* FROM json_to_recordset(%s::json) AS r (message_id uuid, number int, status text, retries int,
                                                          due_at timestamptz)
        CROSS JOIN LATERAL (SELECT k.status, k.attempts FROM webhook_messages k
                            WHERE k.message_id = r.message_id OFFSET 0) now
        WHERE now.status = 'PENDING' AND (now.attempts = r.number OR r.status = 'DELIVERED')
    ) t
    WHERE m.message_id = t.message_id
    RETURNING m.message_id::text
"""
PROMOTE = """
    UPDATE webhook_messages m SET due_at = %s
    FROM (SELECT DISTINCT t.subscription_id, t.lane
          FROM json_to_recordset(%s::json) AS t (subscription_id uuid, lane text)) l
    CROSS JOIN LATERAL (
        SELECT f.message_id FROM webhook_messages f
        WHERE f.subscription_id = l.subscription_id AND f.lane = l.lane AND f.status IN ('PENDING', 'FAILED')
        ORDER BY f.position LIMIT 1
    ) first
    WHERE m.message_id = first.message_id AND m.status = 'PENDING' AND m.due_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A claimed message: ``number`` is that of the attempt which begins with the claim."""

    message_id: str
    subscription_id: str
    lane: str | None
    retries: int
    number: int
    event_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """How many messages of a subscription to claim; ``early``: the first ones, also before they are due."""

    subscription_id: str
    room: int
    early: bool


async def take(tx: Tx, rooms: Sequence[Room], most: int, until: datetime) -> list[Taken]:
    """Claim at most ``most`` due messages until ``until``; after that they are due again."""
    rows = [{"subscription_id": one.subscription_id, "room": one.room, "early": one.early} for one in rooms]
    return [
        Taken(*row)
        for row in await tx.rows(TAKE, {"until": until, "now": tx.now, "most": most, "rooms": as_json(rows)})
    ]


async def step(tx: Tx, steps: Sequence[tuple[str, int, Step]]) -> set[str]:
    """
    Write the states of messages after attempts, given as message, attempt's number and state.

    Returns:
        The messages that changed; others have ended, or have a newer attempt.
    """
    rows = [
        {
            "message_id": message_id,
            "number": number,
            "status": after.status,
            "retries": after.retries,
            "due_at": after.due_at,
        }
        for message_id, number, after in steps
    ]
    return {row[0] for row in await tx.rows(STEP, (tx.now, as_json(rows)))}


async def promote(tx: Tx, lanes: Sequence[tuple[str, str]]) -> None:
    """Make the first open message of each lane due, given as subscription and lane."""
    if lanes:
        rows = [{"subscription_id": subscription_id, "lane": lane} for subscription_id, lane in lanes]
        await tx.execute(PROMOTE, (tx.now, as_json(rows)))
