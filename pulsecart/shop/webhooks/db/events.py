"""Stores events that match subscriptions, and their messages."""

from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.shop.webhooks.db import queue

# A lookup by index for each pattern, however many subscriptions there are.
MATCHING = """
    SELECT t.pattern, t.subscription_id::text, s.ordered, s.partner_id
    FROM webhook_subscription_types t JOIN webhook_subscriptions s USING (subscription_id)
    WHERE t.pattern = ANY(%s) AND s.status <> 'DISABLED' AND s.deleted_at IS NULL ORDER BY t.subscription_id
"""
# The row of an event that was stored before is locked, so that it is not deleted before its message is added.
STORE = """
    INSERT INTO webhook_events (source, event_id, type, subject, body, created_at)
    SELECT source, event_id, type, subject, decode(body, 'base64'), %s
    FROM json_to_recordset(%s::json) AS t (source text, event_id text, type text, subject text, body text)
    ORDER BY source, event_id
    ON CONFLICT (source, event_id) DO UPDATE SET created_at = excluded.created_at WHERE false
"""
# A message behind an open one of its lane is not due: neither if that one is stored, nor if this statement adds it.
ADD = """
    INSERT INTO webhook_messages (message_id, subscription_id, event_key, lane, status, due_at, created_at)
    SELECT n.message_id, n.subscription_id, n.event_key, n.lane, 'PENDING',
        CASE WHEN n.lane IS NULL OR (n.of_lane = 1 AND NOT EXISTS (
            SELECT 1 FROM webhook_messages o WHERE o.subscription_id = n.subscription_id AND o.lane = n.lane
                AND o.status IN ('PENDING', 'FAILED'))) THEN %(now)s END,
        %(now)s
    FROM (
        SELECT t.*, e.event_key, row_number() OVER (PARTITION BY t.subscription_id, t.lane ORDER BY t.at) AS of_lane
        FROM json_to_recordset(%(rows)s::json) AS t (at int, message_id uuid, subscription_id uuid, source text,
                                                     event_id text, lane text)
        JOIN webhook_events e USING (source, event_id)
        WHERE NOT EXISTS (SELECT 1 FROM webhook_messages k
                          WHERE k.subscription_id = t.subscription_id AND k.event_key = e.event_key)
    ) n
    ORDER BY n.at ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Matching:
    """A subscription that one of the looked-up patterns belongs to."""

    pattern: str
    subscription_id: str
    ordered: bool
    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """
    An event as it is sent.

    Args:
        lane: the event's ``partitionkey``.
        body: the event as structured JSON.
    """

    source: str
    event_id: str
    type: str
    subject: str | None
    lane: str
    body: bytes


@dataclass(frozen=True, slots=True)
class NewMessage:
    """An event for a subscription."""

    message_id: str
    subscription_id: str
    ordered: bool
    event: Outgoing


async def matching(tx: Tx, patterns: Collection[str]) -> list[Matching]:
    """Return the subscriptions to any of these patterns; a DISABLED one gets no messages."""
    return [Matching(*row) for row in await tx.rows(MATCHING, (list(patterns),))]


async def add(tx: Tx, messages: Sequence[NewMessage]) -> None:
    """
    Store events and their messages, in the given order; those stored before stay as they are.

    This locks the queues of the subscriptions. The caller wakes ``webhook_deliver`` after the commit.
    """
    subscription_ids = {one.subscription_id for one in messages}
    await queue.lock(tx, subscription_ids)
    await tx.execute(STORE, (tx.now, as_json(_events(messages))))
    rows = [
        {
            "at": at,
            "message_id": one.message_id,
            "subscription_id": one.subscription_id,
            "source": one.event.source,
            "event_id": one.event.event_id,
            "lane": one.event.lane if one.ordered else None,
        }
        for at, one in enumerate(messages)
    ]
    await tx.execute(ADD, {"now": tx.now, "rows": as_json(rows)})
    await queue.recompute(tx, subscription_ids, added=True)


def _events(messages: Sequence[NewMessage]) -> list[dict[str, str | None]]:
    events = {(one.event.source, one.event.event_id): one.event for one in messages}
    return [
        {
            "source": event.source,
            "event_id": event.event_id,
            "type": event.type,
            "subject": event.subject,
            "body": b64encode(event.body).decode(),
        }
        for event in events.values()
    ]
