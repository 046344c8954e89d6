"""Stores event sources and their sealed secrets in PostgreSQL; a rotated secret verifies until its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.db.rotated_secrets import RotatedSecrets
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import NotFound, Refused

SOURCES_MAX = 100  # of a partner
SECRETS = RotatedSecrets("partner_source_secrets", "source_id", "event source")


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
    await SECRETS.add(tx, source_id, secret_id, sealed)
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
    await SECRETS.delete(tx, source.source_id)


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
