"""Idempotency-Keys end KEPT after their first use: the replies are removed, and the same key is a new one."""

from datetime import timedelta

from pulsecart.runtime.db.database import Database

KEPT = timedelta(hours=24)
AT_ONCE = 500  # rows of one transaction
BATCHES = 20  # of one call: who waits for it has more to do
# An order that waits still has to tell its buyer how it went, under this key.
END_ORDERS = """
    DELETE FROM idempotency_keys WHERE scope = ANY(ARRAY(
        SELECT k.scope FROM idempotency_keys k
        WHERE k.created_at <= %s
            AND NOT EXISTS (SELECT FROM orders o WHERE o.order_id = k.order_id AND o.status = 'PENDING')
        ORDER BY k.created_at LIMIT %s FOR UPDATE OF k SKIP LOCKED
    )) RETURNING 1
"""
END_CATALOGUE = """
    DELETE FROM catalogue_keys WHERE scope = ANY(ARRAY(
        SELECT scope FROM catalogue_keys WHERE created_at <= %s ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
    )) RETURNING 1
"""


async def end_old(db: Database) -> int:
    """Remove keys that are KEPT old, but those another process is removing, BATCHES of each kind at most; how many."""
    ended = 0
    for sql in (END_ORDERS, END_CATALOGUE):
        for _ in range(BATCHES):
            async with db.transaction() as tx:
                found = len(await tx.rows(sql, (tx.now - KEPT, AT_ONCE)))
            ended += found
            if found < AT_ONCE:
                break
    return ended
