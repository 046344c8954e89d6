"""Stores event sources and their sealed secrets in PostgreSQL; a rotated secret verifies until its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import NotFound, Refused

FIRST = "00000000-0000-0000-0000-000000000000"  # before every id
SOURCES_MAX = 100  # of a partner
SECRETS_MAX = 5  # of an event source, that verify at the same time
REPLACE = """
    UPDATE partner_source_secrets SET sealed = %(after)s WHERE secret_id = %(id)s AND sealed = %(before)s RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class EventSource:
    """``ended_at``: its requests are rejected since then; None while it is in use."""

    source_id: str
    partner_id: str
    created_at: datetime
    ended_at: datetime | None = None


async def create(tx: Tx, source_id: str, partner_id: str, secret_id: str, sealed: bytes) -> EventSource:
    """
    Create an event source with its first secret.

    Raises:
        Refused: the partner has SOURCES_MAX sources.
    """
    if len(await listed(tx, partner_id)) >= SOURCES_MAX:
        raise Refused("too-many-sources", f"A partner has at most {SOURCES_MAX} event sources. End one first.")
    await tx.execute(
        "INSERT INTO partner_sources (source_id, partner_id, created_at) VALUES (%s, %s, %s)",
        (source_id, partner_id, tx.now),
    )
    await _add(tx, source_id, secret_id, sealed)
    return EventSource(source_id, partner_id, tx.now)


async def listed(tx: Tx, partner_id: str) -> list[EventSource]:
    """Return the partner's sources that are in use, the oldest first."""
    rows = await tx.rows(
        "SELECT source_id::text, partner_id, created_at, ended_at FROM partner_sources"
        " WHERE partner_id = %s AND ended_at IS NULL ORDER BY source_id",
        (partner_id,),
    )
    return [EventSource(*row) for row in rows]


async def locked(tx: Tx, partner_id: str, source_id: str) -> EventSource:
    """
    Return the partner's source, locked.

    Raises:
        NotFound: there is none in use.
    """
    row = None
    if is_id(source_id):
        row = await tx.row(
            "SELECT source_id::text, partner_id, created_at, ended_at FROM partner_sources"
            " WHERE source_id = %s AND partner_id = %s AND ended_at IS NULL FOR UPDATE",
            (source_id, partner_id),
        )
    if row is None:
        raise NotFound("unknown-source", f"This partner has no event source {source_id[:64]}.")
    return EventSource(*row)


async def end(tx: Tx, source: EventSource) -> None:
    """End a locked source: its requests are rejected from now on."""
    await tx.execute("UPDATE partner_sources SET ended_at = %s WHERE source_id = %s", (tx.now, source.source_id))
    await tx.execute("DELETE FROM partner_source_secrets WHERE source_id = %s", (source.source_id,))


async def rotate(tx: Tx, source: EventSource, secret_id: str, sealed: bytes, overlap: timedelta) -> datetime:
    """
    Add a secret to a locked source, and end the earlier ones after ``overlap`` at the latest.

    Returns:
        When the earlier ones end.

    Raises:
        Refused: SECRETS_MAX secrets would verify at the same time.
    """
    ends_at = tx.now + overlap
    await tx.execute(
        "UPDATE partner_source_secrets SET ends_at = least(coalesce(ends_at, %(ends)s), %(ends)s)"
        " WHERE source_id = %(id)s",
        {"ends": ends_at, "id": source.source_id},
    )
    await tx.execute(
        "DELETE FROM partner_source_secrets WHERE source_id = %s AND ends_at <= %s", (source.source_id, tx.now)
    )
    if len(await secrets(tx, source.source_id)) >= SECRETS_MAX:
        raise Refused(
            "too-many-secrets",
            f"{SECRETS_MAX} secrets of this event source are in use. Send overlapS 0, or wait until one ends.",
        )
    await _add(tx, source.source_id, secret_id, sealed)
    return ends_at


async def secrets(tx: Tx, source_id: str) -> list[bytes]:
    """Return the sealed secrets of a source that verify now, the newest first."""
    rows = await tx.rows(
        "SELECT sealed FROM partner_source_secrets WHERE source_id = %s AND (ends_at IS NULL OR ends_at > %s)"
        " ORDER BY secret_id DESC",
        (source_id, tx.now),
    )
    return [bytes(row[0]) for row in rows]


async def verifying(tx: Tx, source_ids: Sequence[str]) -> dict[str, tuple[str, list[bytes]]]:
    """Return source → (its partner, the sealed secrets that verify now) of the sources that are in use."""
    rows = await tx.rows(
        """
        SELECT s.source_id::text, s.partner_id, array_agg(k.sealed ORDER BY k.secret_id DESC)
        FROM partner_sources s JOIN partner_source_secrets k USING (source_id)
        WHERE s.source_id = ANY(%s::uuid[]) AND s.ended_at IS NULL AND (k.ends_at IS NULL OR k.ends_at > %s)
        GROUP BY s.source_id
        """,
        (list(source_ids), tx.now),
    )
    return {source_id: (partner_id, [bytes(one) for one in sealed]) for source_id, partner_id, sealed in rows}


async def page(tx: Tx, after: str | None, limit: int) -> list[tuple[str, str, bytes]]:
    """Return the next secrets that verify now or later, by id: id, source, sealed secret."""
    rows = await tx.rows(
        """
        SELECT secret_id::text, source_id::text, sealed FROM partner_source_secrets
        WHERE secret_id > %s AND (ends_at IS NULL OR ends_at > %s) ORDER BY secret_id LIMIT %s
        """,
        (after or FIRST, tx.now, limit),
    )
    return [(secret_id, source_id, bytes(sealed)) for secret_id, source_id, sealed in rows]


async def replace(tx: Tx, secret_id: str, before: bytes, after: bytes) -> bool:
    """Replace the sealed form of a secret; return whether it still was ``before``."""
    named = {"id": secret_id, "before": before, "after": after}
    return await tx.row(REPLACE, named) is not None


async def _add(tx: Tx, source_id: str, secret_id: str, sealed: bytes) -> None:
    await tx.execute(
        "INSERT INTO partner_source_secrets (secret_id, source_id, sealed, created_at) VALUES (%s, %s, %s, %s)",
        (secret_id, source_id, sealed, tx.now),
    )
