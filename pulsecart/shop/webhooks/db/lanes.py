"""Arranges a subscription's messages in their lanes after a change by hand."""

from collections.abc import Collection

from pulsecart.runtime.db.database import Tx

FREE = "(m.claimed_until IS NULL OR m.claimed_until <= %(now)s)"
ARRANGE = f"""
    WITH open AS (
        SELECT message_id, row_number() OVER (PARTITION BY lane ORDER BY position) = 1 AS first
        FROM webhook_messages
        WHERE subscription_id = %(id)s AND lane = ANY(%(lanes)s) AND status IN ('PENDING', 'FAILED')
    )
    UPDATE webhook_messages m SET due_at = CASE WHEN open.first THEN %(now)s END
    FROM open WHERE m.message_id = open.message_id AND m.status = 'PENDING' AND (m.due_at IS NOT NULL) <> open.first
        AND {FREE}
"""


async def arranged(tx: Tx, subscription_id: str, lanes: Collection[str]) -> None:
    """Make the first open message of each lane due, and let the others wait for it; those in flight stay."""
    if lanes:
        await tx.execute(ARRANGE, {"id": subscription_id, "lanes": list(lanes), "now": tx.now})


async def released(tx: Tx, subscription_id: str) -> None:
    """Take the open messages of a locked queue out of their lanes."""
    await tx.execute(
        """
        UPDATE webhook_messages SET lane = NULL,
            due_at = CASE WHEN status = 'PENDING' THEN coalesce(due_at, %s) END
        WHERE subscription_id = %s AND lane IS NOT NULL AND status IN ('PENDING', 'FAILED')
        """,
        (tx.now, subscription_id),
    )
