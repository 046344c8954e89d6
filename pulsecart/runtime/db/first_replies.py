"""
Stores the first replies to Idempotency-Keys, and removes them KEPT after first use; the same key is then a new one.

Orders have a table of their own, which ``orders/db`` writes in the statement of the order.
"""

from datetime import timedelta

from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.first_replies import FirstReply, Key

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
PAGE = """
    SELECT encode(scope, 'hex'), location, body FROM catalogue_keys
    WHERE scope > decode(%s, 'hex') AND starts_with(location, %s) ORDER BY scope LIMIT %s
"""
REPLACE = """
    UPDATE catalogue_keys SET body = %(after)s WHERE scope = decode(%(scope)s, 'hex') AND body = %(before)s RETURNING 1
"""


async def first_reply(tx: Tx, key: Key | None) -> FirstReply | None:
    """Return the first reply under this key; None when there is none, or the request has no key."""
    if key is None:
        return None
    row = await tx.row("SELECT payload_hash, status, body, location FROM catalogue_keys WHERE scope = %s", (key.scope,))
    return FirstReply(bytes(row[0]), row[1], row[2], location=row[3]) if row else None


async def keep(tx: Tx, key: Key | None, status: int, body: str, location: str) -> FirstReply:
    """Store a reply in the transaction of its change; raises UniqueViolation when another process just stored one."""
    if key is not None:
        await tx.execute(
            "INSERT INTO catalogue_keys (scope, payload_hash, status, body, location, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (key.scope, key.payload_hash, status, body, location, tx.now),
        )
    return FirstReply(key.payload_hash if key else b"", status, body, location=location)


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


async def page(tx: Tx, under: str, after: str | None, limit: int) -> list[tuple[str, str, str]]:
    """Return the next replies about what has its location ``under`` this path: scope in hex, location, body."""
    return [(*row,) for row in await tx.rows(PAGE, (after or "", under, limit))]


async def replace(tx: Tx, scope: str, before: str, after: str) -> bool:
    """Replace the body of the reply with this scope in hex; return whether it still was ``before``."""
    return await tx.row(REPLACE, {"scope": scope, "before": before, "after": after}) is not None
