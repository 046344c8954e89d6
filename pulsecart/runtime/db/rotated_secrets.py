"""Stores sealed secrets that are rotated: a new one replaces the earlier ones, which stay valid for an overlap."""

from collections.abc import Collection
from datetime import datetime, timedelta

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.problem import Refused

FIRST = "00000000-0000-0000-0000-000000000000"  # before every id
VALID_MAX = 5  # secrets of one owner that are valid at the same time


class RotatedSecrets:
    """
    Reads and writes one table of secrets.

    Args:
        table: has the columns secret_id, sealed, created_at, ends_at and that of the owner.
        owner: the column with the owner's id.
        owner_named: the owner in the text of a problem.
    """

    def __init__(self, table: str, owner: str, owner_named: str) -> None:
        self._owner_named = owner_named
        self._add = f"INSERT INTO {table} (secret_id, {owner}, sealed, created_at) VALUES (%s, %s, %s, %s)"
        self._end = f"UPDATE {table} SET ends_at = least(coalesce(ends_at, %(ends)s), %(ends)s) WHERE {owner} = %(id)s"
        self._delete_ended = f"DELETE FROM {table} WHERE {owner} = %s AND ends_at <= %s"
        self._count = f"SELECT count(*) FROM {table} WHERE {owner} = %s"
        self._delete = f"DELETE FROM {table} WHERE {owner} = %s"
        self.valid_sql = f"""
            SELECT {owner}::text, sealed FROM {table}
            WHERE {owner} = ANY(%s::uuid[]) AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id DESC
        """
        self._page = f"""
            SELECT secret_id::text, {owner}::text, sealed FROM {table}
            WHERE secret_id > %s AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id LIMIT %s
        """
        self._replace = (
            f"UPDATE {table} SET sealed = %(after)s WHERE secret_id = %(id)s AND sealed = %(before)s RETURNING 1"
        )

    async def add(self, tx: Tx, owner_id: str, secret_id: str, sealed: bytes) -> None:
        """Store a new secret; the newest comes first."""
        await tx.execute(self._add, (secret_id, owner_id, sealed, tx.now))

    async def rotate(self, tx: Tx, owner_id: str, secret_id: str, sealed: bytes, overlap: timedelta) -> datetime:
        """
        Store a new secret of a locked owner, and end the earlier ones after ``overlap`` at the latest.

        Returns:
            When the earlier ones end.

        Raises:
            Refused: VALID_MAX secrets would be valid at the same time.
        """
        ends_at = tx.now + overlap
        await tx.execute(self._end, {"ends": ends_at, "id": owner_id})
        await tx.execute(self._delete_ended, (owner_id, tx.now))
        row = await tx.row(self._count, (owner_id,))
        if row and row[0] >= VALID_MAX:
            raise Refused(
                "too-many-secrets",
                f"{VALID_MAX} secrets of this {self._owner_named} are in use. Send overlapS 0, or wait until one ends.",
                limit=VALID_MAX,
            )
        await self.add(tx, owner_id, secret_id, sealed)
        return ends_at

    async def valid(self, tx: Tx, owner_ids: Collection[str]) -> dict[str, list[bytes]]:
        """Return the sealed secrets of each owner that are valid now, the newest first; several while they rotate."""
        found: dict[str, list[bytes]] = {owner_id: [] for owner_id in owner_ids}
        for owner_id, sealed in await tx.rows(self.valid_sql, (list(owner_ids), tx.now)):
            found[owner_id].append(bytes(sealed))
        return found

    async def delete(self, tx: Tx, owner_id: str) -> None:
        """Delete all secrets of an owner."""
        await tx.execute(self._delete, (owner_id,))

    async def page(self, tx: Tx, after: str | None, limit: int) -> list[tuple[str, str, bytes]]:
        """Return the next secrets that are valid now or later, by id: id, owner, sealed secret."""
        rows = await tx.rows(self._page, (after or FIRST, tx.now, limit))
        return [(secret_id, owner_id, bytes(sealed)) for secret_id, owner_id, sealed in rows]

    async def replace(self, tx: Tx, secret_id: str, before: bytes, after: bytes) -> bool:
        """Replace the sealed form of a secret; return whether it still was ``before``."""
        return await tx.row(self._replace, {"id": secret_id, "before": before, "after": after}) is not None
