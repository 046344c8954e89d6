"""Removes Idempotency-Keys and their replies KEPT after first use; a request with the same key is then a new one."""

from datetime import timedelta

from pulsecart.runtime.db.database import Database

KEPT = timedelta(hours=24)
AT_ONCE = 500  # rows per transaction
BATCHES = 20  # limit per call, which has a waiting caller
# The key of a PENDING order stays: a repeated request must still return the order's outcome.
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
    """Remove keys older than KEPT, at most BATCHES of each kind, skipping locked rows; return how many."""
    ended = 0
    for sql in (END_ORDERS, END_CATALOGUE):
        for _ in range(BATCHES):
            async with db.transaction() as tx:
                found = len(await tx.rows(sql, (tx.now - KEPT, AT_ONCE)))
            ended += found
            if found < AT_ONCE:
                break
    return ended
