"""Changes messages on request: sends them again, skips them, and adds an example."""

from datetime import datetime

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Refused
from pulsecart.shop.webhooks.db import history, queue
from pulsecart.shop.webhooks.db.history import StoredMessage
from pulsecart.shop.webhooks.db.lanes import arranged

AT_ONCE = 5000  # messages per transaction, which holds the lock of the queue
AGAIN = """
    UPDATE webhook_messages SET status = 'PENDING', retries = 0, due_at = %(now)s, claimed_until = NULL, ended_at = NULL
"""
FAILED = "subscription_id = %(id)s AND status = 'FAILED' AND ended_at BETWEEN %(since)s AND %(until)s"


async def send_again(tx: Tx, message: StoredMessage) -> None:
    """
    Make a message due now with its whole schedule of retries; its subscription is locked.

    Raises:
        Refused: an attempt is in flight.
    """
    await _check_idle(tx, message)
    await tx.execute(f"{AGAIN} WHERE message_id = %(message)s", {"now": tx.now, "message": message.message_id})
    await _rearranged(tx, message)


async def skip(tx: Tx, message: StoredMessage) -> None:
    """
    End a message that is not delivered, so that the next one of its lane is sent; its subscription is locked.

    Raises:
        Refused: it is DELIVERED, or an attempt is in flight.
    """
    current = await _check_idle(tx, message)
    if current.status == "SKIPPED":
        return
    if current.status == "DELIVERED":
        raise Refused("message-delivered", "This message was delivered. Only a PENDING or FAILED one can be skipped.")
    await tx.execute(
        """
        UPDATE webhook_messages SET status = 'SKIPPED', due_at = NULL, claimed_until = NULL, ended_at = %s
        WHERE message_id = %s
        """,
        (tx.now, message.message_id),
    )
    await _rearranged(tx, message)


async def failed_since(tx: Tx, subscription_id: str, since: datetime, until: datetime) -> int:
    """Return how many messages failed in this time and were not sent again."""
    row = await tx.row(
        f"SELECT count(*) FROM webhook_messages WHERE {FAILED}",
        {"id": subscription_id, "since": since, "until": until},
    )
    return row[0] if row else 0


async def send_failed_again(tx: Tx, subscription_id: str, since: datetime, until: datetime) -> int:
    """
    Send at most AT_ONCE messages again that failed in this time, the oldest first; the subscription is locked.

    Returns:
        How many; fewer than AT_ONCE: none is left.
    """
    rows = await tx.rows(
        f"""
        {AGAIN} WHERE message_id = ANY(ARRAY(
            SELECT message_id FROM webhook_messages WHERE {FAILED} ORDER BY ended_at LIMIT %(most)s
        )) RETURNING lane
        """,
        {"now": tx.now, "id": subscription_id, "since": since, "until": until, "most": AT_ONCE},
    )
    await arranged(tx, subscription_id, {row[0] for row in rows if row[0] is not None})
    await queue.recompute(tx, [subscription_id])
    return len(rows)


async def add_example(tx: Tx, subscription_id: str, message_id: str, event: CloudEvent, body: bytes) -> None:
    """
    Add an event for one subscription alone, whose queue is locked; it waits in no lane.

    Args:
        body: the event as structured JSON.
    """
    await tx.execute(
        """
        WITH event AS (
            INSERT INTO webhook_events (source, event_id, type, subject, body, created_at)
            VALUES (%(source)s, %(event)s, %(type)s, %(subject)s, %(body)s, %(now)s) RETURNING event_key
        )
        INSERT INTO webhook_messages (message_id, subscription_id, event_key, status, due_at, created_at)
        SELECT %(message)s, %(id)s, event_key, 'PENDING', %(now)s, %(now)s FROM event
        """,
        {
            "source": event.source,
            "event": event.id,
            "type": event.type,
            "subject": event.subject,
            "body": body,
            "now": tx.now,
            "message": message_id,
            "id": subscription_id,
        },
    )
    await queue.recompute(tx, [subscription_id])


async def _check_idle(tx: Tx, message: StoredMessage) -> StoredMessage:
    """Return the message as it is now, under its queue's lock."""
    current = await history.require(tx, message.message_id)
    if current.in_flight(tx.now):
        raise Refused("message-in-flight", "This message is being sent now. Try again when the attempt has ended.")
    return current


async def _rearranged(tx: Tx, message: StoredMessage) -> None:
    await arranged(tx, message.subscription_id, () if message.lane is None else (message.lane,))
    await queue.recompute(tx, [message.subscription_id])
