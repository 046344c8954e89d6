"""Stores the sealed secrets of webhook subscriptions; a rotated one signs until its end."""

from datetime import timedelta

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.problem import Refused

FIRST = "00000000-0000-0000-0000-000000000000"  # before every id
SIGNING_MAX = 5  # secrets of a subscription that sign at the same time
REPLACE = "UPDATE webhook_secrets SET sealed = %(after)s WHERE secret_id = %(id)s AND sealed = %(before)s RETURNING 1"


async def add(tx: Tx, subscription_id: str, secret_id: str, sealed: bytes) -> None:
    """Store a new secret; the newest signs first."""
    await tx.execute(
        "INSERT INTO webhook_secrets (secret_id, subscription_id, sealed, created_at) VALUES (%s, %s, %s, %s)",
        (secret_id, subscription_id, sealed, tx.now),
    )


async def rotate(tx: Tx, subscription_id: str, secret_id: str, sealed: bytes, overlap: timedelta) -> None:
    """
    Store a new secret for a locked subscription, and end the earlier ones after ``overlap`` at the latest.

    Raises:
        Refused: SIGNING_MAX secrets would sign at the same time.
    """
    ends_at = tx.now + overlap
    await tx.execute(
        """
        UPDATE webhook_secrets SET ends_at = least(coalesce(ends_at, %(ends)s), %(ends)s) WHERE subscription_id = %(id)s
        """,
        {"ends": ends_at, "id": subscription_id},
    )
    await tx.execute(
        "DELETE FROM webhook_secrets WHERE subscription_id = %s AND ends_at <= %s", (subscription_id, tx.now)
    )
    row = await tx.row("SELECT count(*) FROM webhook_secrets WHERE subscription_id = %s", (subscription_id,))
    if row and row[0] >= SIGNING_MAX:
        raise Refused(
            "too-many-secrets",
            f"{SIGNING_MAX} secrets of this subscription sign already. Send overlapS 0, or wait until one ends.",
            limit=SIGNING_MAX,
        )
    await add(tx, subscription_id, secret_id, sealed)


async def signing(tx: Tx, subscription_id: str) -> list[bytes]:
    """Return the sealed secrets that sign now, the newest first."""
    rows = await tx.rows(
        """
        SELECT sealed FROM webhook_secrets
        WHERE subscription_id = %s AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id DESC
        """,
        (subscription_id, tx.now),
    )
    return [bytes(row[0]) for row in rows]


async def page(tx: Tx, after: str | None, limit: int) -> list[tuple[str, str, bytes]]:
    """Return the next secrets that sign now or later, by id: id, subscription, sealed secret."""
    rows = await tx.rows(
        """
        SELECT secret_id::text, subscription_id::text, sealed FROM webhook_secrets
        WHERE secret_id > %s AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id LIMIT %s
        """,
        (after or FIRST, tx.now, limit),
    )
    return [(secret_id, subscription_id, bytes(sealed)) for secret_id, subscription_id, sealed in rows]


async def replace(tx: Tx, secret_id: str, before: bytes, after: bytes) -> bool:
    """Replace the sealed form of a secret; return whether it still was ``before``."""
    named = {"id": secret_id, "before": before, "after": after}
    return await tx.row(REPLACE, named) is not None
