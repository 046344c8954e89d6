"""Reads the sealed secrets that sign the messages of many subscriptions now."""

from collections.abc import Collection

from pulsecart.runtime.db.database import Tx

SIGNING = """
    SELECT subscription_id::text, sealed FROM webhook_secrets
    WHERE subscription_id = ANY(%s::uuid[]) AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id DESC
"""


async def signing(tx: Tx, subscription_ids: Collection[str]) -> dict[str, list[bytes]]:
    """Return the sealed secrets of each subscription, the newest first; several while they rotate."""
    found: dict[str, list[bytes]] = {subscription_id: [] for subscription_id in subscription_ids}
    for subscription_id, sealed in await tx.rows(SIGNING, (list(subscription_ids), tx.now)):
        found[subscription_id].append(bytes(sealed))
    return found
