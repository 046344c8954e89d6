"""
Ends the messages of deleted subscriptions; deletes old messages, attempts and events, and then these subscriptions.

A FAILED message of a lane is never deleted: the messages behind it would then be sent without it, and only the partner
decides that, by sending it again, skipping it or deleting the subscription.
"""

from datetime import datetime, timedelta

from pulsecart.runtime.db.database import Database, Tx
from pulsecart.shop.webhooks.db.lanes import FREE

AT_ONCE = 500  # rows per transaction
BATCHES = 20  # limit per call
# The queue of a deleted subscription is held, so that no message of it is claimed; the result of an attempt in flight
# is still recorded. The subqueries are those of two partial indexes.
END_MESSAGES = f"""
    UPDATE webhook_messages SET status = 'SKIPPED', due_at = NULL, claimed_until = NULL,
        ended_at = coalesce(ended_at, %(now)s)
    WHERE message_id = ANY(ARRAY(
        SELECT message_id FROM webhook_messages WHERE message_id = ANY(ARRAY(
            SELECT open.message_id FROM webhook_subscriptions s CROSS JOIN LATERAL (
                (SELECT m.message_id FROM webhook_messages m
                 WHERE m.subscription_id = s.subscription_id AND m.status = 'PENDING' AND m.due_at IS NOT NULL
                    AND {FREE} LIMIT %(most)s)
                UNION ALL
                (SELECT m.message_id FROM webhook_messages m
                 WHERE m.subscription_id = s.subscription_id AND m.status IN ('PENDING', 'FAILED')
                    AND m.lane IS NOT NULL AND m.due_at IS NULL LIMIT %(most)s)
            ) open WHERE s.deleted_at IS NOT NULL LIMIT %(most)s
        )) FOR UPDATE SKIP LOCKED
    )) RETURNING 1
"""
# Both rows are locked: a message that is sent again at this moment stays, and so does an event that gets a message. The
# event's lock also keeps two processes from deleting its last two messages without it.
OLD_MESSAGES = """
    SELECT m.message_id::text, m.event_key FROM webhook_messages m JOIN webhook_events e USING (event_key)
    WHERE m.ended_at <= %(before)s AND (m.status <> 'FAILED' OR m.lane IS NULL)
    ORDER BY m.ended_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
# By OFFSET 0 the index is asked for each row; an anti-join of 500 events read all of 50,000 messages.
DELETE_EVENTS = """
    DELETE FROM webhook_events e WHERE e.event_key = ANY(%s::bigint[])
        AND NOT EXISTS (SELECT FROM webhook_messages m WHERE m.event_key = e.event_key OFFSET 0)
"""
# By ORDER BY the index finds that there is no message; for EXISTS PostgreSQL expected many, and read all of the table.
DELETE_SUBSCRIPTIONS = """
    DELETE FROM webhook_subscriptions WHERE subscription_id = ANY(ARRAY(
        SELECT s.subscription_id FROM webhook_subscriptions s WHERE s.deleted_at <= %(before)s
            AND (SELECT m.position FROM webhook_messages m WHERE m.subscription_id = s.subscription_id
                 ORDER BY m.position LIMIT 1) IS NULL
        ORDER BY s.deleted_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )) RETURNING 1
"""


async def end_old(db: Database, kept: timedelta) -> int:
    """
    Change at most BATCHES times AT_ONCE rows of each kind, skipping locked rows.

    Args:
        kept: how long messages are kept after their end, and subscriptions after their deletion.

    Returns:
        How many messages were ended, and messages and subscriptions deleted.
    """
    changed = 0
    for batch in (_end_messages, _delete_messages, _delete_subscriptions):
        for _ in range(BATCHES):
            async with db.transaction() as tx:
                found = await batch(tx, tx.now - kept)
            changed += found
            if found < AT_ONCE:
                break
    return changed


async def _end_messages(tx: Tx, _before: datetime) -> int:
    return len(await tx.rows(END_MESSAGES, {"now": tx.now, "most": AT_ONCE}))


async def _delete_messages(tx: Tx, before: datetime) -> int:
    """Delete messages with their attempts, and their events with the last message."""
    rows = await tx.rows(OLD_MESSAGES, {"before": before, "most": AT_ONCE})
    if rows:
        await tx.execute("DELETE FROM webhook_messages WHERE message_id = ANY(%s::uuid[])", ([row[0] for row in rows],))
        await tx.execute(DELETE_EVENTS, (list({row[1] for row in rows}),))
    return len(rows)


async def _delete_subscriptions(tx: Tx, before: datetime) -> int:
    return len(await tx.rows(DELETE_SUBSCRIPTIONS, {"before": before, "most": AT_ONCE}))
