"""Marks many events at once as handled by an operation; ``Database.once`` does it for one event."""

from collections.abc import Sequence

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import CloudEvent, Identity

CLAIM = """
    INSERT INTO consumed (operation, source, event_id)
    SELECT %s, source, event_id FROM json_to_recordset(%s::json) AS t (source text, event_id text)
    ORDER BY source, event_id ON CONFLICT DO NOTHING RETURNING source, event_id
"""
KNOWN = """
    SELECT source, event_id FROM consumed JOIN json_to_recordset(%s::json) AS t (source text, event_id text)
        USING (source, event_id)
    WHERE operation = %s
"""


async def first_time(tx: Tx, operation: str, events: Sequence[CloudEvent]) -> list[CloudEvent]:
    """Mark ``events`` as handled and return those that were not handled before, without duplicates."""
    named = {(event.source, event.id): event for event in events}
    rows = [{"source": source, "event_id": id} for source, id in named]
    return [named[source, id] for source, id in await tx.rows(CLAIM, (operation, as_json(rows)))]


async def known(tx: Tx, operation: str, events: Sequence[CloudEvent]) -> set[Identity]:
    """Return the identities of the events that were handled before."""
    rows = [{"source": event.source, "event_id": event.id} for event in events]
    return {Identity(source, id) for source, id in await tx.rows(KNOWN, (as_json(rows), operation))}
