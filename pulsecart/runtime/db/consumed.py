"""Which events an operation has finished, many at a time; ``Database.once`` does it for one."""

from collections.abc import Sequence

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import CloudEvent

CLAIM = """
    INSERT INTO consumed (operation, source, event_id)
    SELECT %s, source, event_id FROM json_to_recordset(%s::json) AS t (source text, event_id text)
    ORDER BY source, event_id ON CONFLICT DO NOTHING RETURNING source, event_id
"""


async def first_time(tx: Tx, operation: str, events: Sequence[CloudEvent]) -> list[CloudEvent]:
    """The events that this transaction finishes, each once; the others were finished before."""
    named = {(event.source, event.id): event for event in events}
    rows = [{"source": source, "event_id": id} for source, id in named]
    return [named[source, id] for source, id in await tx.rows(CLAIM, (operation, as_json(rows)))]
