"""Events into the log, in the transaction that made them true."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from pulsecart.runtime.event import CloudEvent

# One parameter for any number of events: half the time of arrays through the driver, and a tenth of a row at a time.
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
    Write events in their order, in one statement of the connection's open transaction.

    Events of one key keep this order for every reader as long as the caller holds that aggregate's row lock.
    """
    if events:
        await connection.execute(INSERT_SQL, (rows_for(events),))


def rows_for(events: Sequence[CloudEvent]) -> str:
    """The parameter of INSERT_SQL: a JSON array of events as they are, ``data`` in base64."""
    return _encode(events).decode()
