"""Stores the first replies to Idempotency-Keys of catalogue changes."""

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.first_replies import FirstReply, Key


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
