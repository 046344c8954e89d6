"""Reads the messages of webhook subscriptions and the attempts to send them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.problem import NotFound

MessageStatus = Literal["PENDING", "DELIVERED", "FAILED", "SKIPPED"]
MESSAGES: Final = """
    SELECT m.message_id::text, m.subscription_id::text, s.partner_id, m.status, m.attempts, m.lane, m.due_at,
        m.claimed_until, m.created_at, m.ended_at, e.source, e.event_id, e.type, e.subject
    FROM webhook_messages m JOIN webhook_events e USING (event_key) JOIN webhook_subscriptions s USING (subscription_id)
"""
ATTEMPTS: Final = """
    SELECT number, probe, url, content_mode, began_at, request_headers, ended_at, result, status, response_headers,
        response_body, error, next_try_at
    FROM webhook_delivery_attempts
"""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """
    Holds a message without its event's body.

    Args:
        due_at: the next attempt at the earliest; None: ended, or behind an earlier message of its lane.
        claimed_until: an attempt is in flight until then at the latest.
    """

    message_id: str
    subscription_id: str
    partner_id: str
    status: MessageStatus
    attempts: int
    lane: str | None
    due_at: datetime | None
    claimed_until: datetime | None
    created_at: datetime
    ended_at: datetime | None
    source: str
    event_id: str
    type: str
    subject: str | None

    def in_flight(self, now: datetime) -> bool:
        """Return whether an attempt is being made."""
        return self.status == "PENDING" and self.claimed_until is not None and self.claimed_until > now


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """Holds one attempt; one without ``ended_at`` is in flight, or its process ended."""

    number: int
    probe: bool
    url: str
    content_mode: str
    began_at: datetime
    request_headers: Any
    ended_at: datetime | None
    result: str | None
    status: int | None
    response_headers: Any
    response_body: bytes | None
    error: str | None
    next_try_at: datetime | None


async def messages(
    tx: Tx,
    subscription_id: str,
    *,
    status: str | None = None,
    oldest_first: bool = False,
    after: int | None = None,
    limit: int,
) -> list[StoredMessage]:
    """
    Return messages of a subscription, the newest first.

    Args:
        after: the position after which they begin in that order. Positions are given under the lock of the queue, so
            that no message appears later before one that was read.
    """
    named: Mapping[str, Any] = {"id": subscription_id, "status": status, "after": after, "limit": limit}
    rows = await tx.rows(
        f"""
        {MESSAGES} WHERE m.subscription_id = %(id)s
            {"" if after is None else f"AND m.position {'>' if oldest_first else '<'} %(after)s"}
            {"AND m.status = %(status)s" if status else ""}
        ORDER BY m.position {"" if oldest_first else "DESC"} LIMIT %(limit)s
        """,
        named,
    )
    return [StoredMessage(*row) for row in rows]


async def position_of(tx: Tx, subscription_id: str, message_id: str) -> int | None:
    """Return the place of a message in its subscription; None: it has no such message."""
    row = await tx.row(
        "SELECT position FROM webhook_messages WHERE message_id = %s AND subscription_id = %s",
        (message_id, subscription_id),
    )
    return row[0] if row else None


async def require(tx: Tx, message_id: str) -> StoredMessage:
    """
    Return the message.

    Raises:
        NotFound: there is none, or its subscription was deleted.
    """
    row = await tx.row(f"{MESSAGES} WHERE m.message_id = %s AND s.deleted_at IS NULL", (message_id,))
    if row is None:
        raise unknown(message_id)
    return StoredMessage(*row)


async def event_of(tx: Tx, message_id: str) -> bytes:
    """Return the message's event as structured JSON, in the bytes that are sent."""
    row = await tx.row(
        "SELECT e.body FROM webhook_messages m JOIN webhook_events e USING (event_key) WHERE m.message_id = %s",
        (message_id,),
    )
    if row is None:
        raise unknown(message_id)
    return bytes(row[0])


async def attempts(tx: Tx, message_id: str, *, before: int | None = None, limit: int) -> list[StoredAttempt]:
    """Return the newest attempts of a message; with ``before``, those with a lower number."""
    rows = await tx.rows(
        f"{ATTEMPTS} WHERE message_id = %s AND number < coalesce(%s, 2147483647) ORDER BY number DESC LIMIT %s",
        (message_id, before, limit),
    )
    return [StoredAttempt(*row) for row in rows]


def unknown(message_id: str) -> NotFound:
    """Return the problem for an id that names no message of the caller."""
    return NotFound("unknown-message", f"You have no webhook message {message_id[:64]}.")
