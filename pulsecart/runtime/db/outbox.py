"""Writes events to the log, in the transaction that caused them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from pulsecart.runtime.event import CloudEvent

# One parameter for any number of events: half the time of the driver's arrays, and a tenth of row-by-row inserts.
INSERT_SQL = """
INSERT INTO outbox
    (id, source, type, subject, time, time_text, dataschema, datacontenttype, partitionkey, extensions, data)
SELECT id, source, type, subject, time, time_text, dataschema, datacontenttype,
    coalesce(nullif(extensions ->> 'partitionkey', ''), source || ' ' || id), extensions, decode(data, 'base64')
FROM json_to_recordset(%s::json) AS event(id text, source text, type text, subject text, time timestamptz,
    time_text text, dataschema text, datacontenttype text, extensions json, data text)
"""

_encode = msgspec.json.Encoder().encode


async def append(connection: AsyncConnection[Any], events: Sequence[CloudEvent]) -> None:
    """
    Write events in the given order, in one statement of the connection's open transaction.

    Every reader sees events of one key in this order, provided the caller holds that aggregate's row lock.
    """
    if events:
        await connection.execute(INSERT_SQL, (rows_for(events),))


def rows_for(events: Sequence[CloudEvent]) -> str:
    """Encode the parameter of INSERT_SQL: a JSON array of the events, with ``data`` in base64."""
    return _encode(events).decode()
