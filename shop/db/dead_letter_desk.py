"""Dead letters as a person handles them: listed, read, and sent to the trigger that failed once more."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any

import psycopg
from psycopg.rows import class_row

RELAY = "relay"  # its place in the log is the only one whose name no Trigger can have
_COLUMNS = """dead_letter_id AS id, trigger, type, event_id, source, error_code, error_data, received_at, replayed_at,
    event"""
_REPLAY = """
WITH chosen AS (
    SELECT dead_letter_id, source, event_id, CASE trigger WHEN %(relay)s THEN '/' || trigger ELSE trigger END AS trigger
    FROM dead_letters WHERE dead_letter_id = ANY(%(ids)s)
), found AS (
    SELECT chosen.dead_letter_id, chosen.trigger, max(outbox.position) AS position
    FROM chosen JOIN outbox ON outbox.id = chosen.event_id AND outbox.source = chosen.source
    WHERE chosen.trigger IN (SELECT trigger FROM trigger_cursors)
        OR EXISTS (SELECT FROM trigger_cursors WHERE trigger = '/relay') -- on a cluster: relay replays
    GROUP BY chosen.dead_letter_id, chosen.trigger
), queued AS (
    INSERT INTO trigger_backlog (trigger, position, partitionkey, attempts, due_at)
    SELECT found.trigger, position, outbox.partitionkey, 0, now() FROM found JOIN outbox USING (position)
    ON CONFLICT (trigger, position) DO UPDATE SET attempts = 0, due_at = now(), error_code = NULL, error_data = NULL
        WHERE NOT %(wait)s
    RETURNING trigger, position
), marked AS (
    UPDATE dead_letters SET replayed_at = now() FROM found JOIN queued USING (trigger, position)
    WHERE dead_letters.dead_letter_id = found.dead_letter_id
)
SELECT dead_letter_id, queued.position IS NOT NULL FROM found LEFT JOIN queued USING (trigger, position)
"""
# An event that was given up may have its row for a moment still, and what is written there would go with it. One that
# stays was left by a dispatcher that died.
ROW_GOES_S = 2.0
LOOK_AGAIN_S = 0.05


class CannotAsk(Exception):
    """The database did not answer, or is not a shop's; the message says which."""


@dataclass(frozen=True, slots=True)
class Letter:
    """``event`` is the structured CloudEvent, with the ``knativeerror…`` attributes."""

    id: int
    trigger: str
    type: str
    event_id: str
    source: str
    error_code: int | None
    error_data: str | None
    received_at: datetime
    replayed_at: datetime | None
    event: dict[str, Any]


def waiting(database_url: str) -> list[Letter]:
    """Those not replayed, or failed again since, oldest first."""
    return _letters(database_url, "replayed_at IS NULL", ())


def letter(database_url: str, id: int) -> Letter | None:
    """One, replayed or not."""
    found = _letters(database_url, "dead_letter_id = %s", (id,))
    return found[0] if found else None


def replay(database_url: str, ids: Sequence[int]) -> set[int]:
    """
    Put these events before the trigger that failed, and before no other; a new failure makes them wait here again.

    Returns:
        those that could be: the event is still in the log, and the trigger still exists.
    """
    queued: dict[int, bool] = {}
    until = monotonic() + ROW_GOES_S
    with _asking(database_url) as connection:
        while left := [id for id in ids if not queued.get(id, False)]:
            asked = {"ids": left, "relay": RELAY, "wait": monotonic() < until}
            queued.update(connection.execute(_REPLAY, asked).fetchall())
            connection.commit()
            if all(queued.values()):
                break
            sleep(LOOK_AGAIN_S)
    return set(queued)


def _letters(database_url: str, condition: str, params: Sequence[Any]) -> list[Letter]:
    with _asking(database_url) as connection, connection.cursor(row_factory=class_row(Letter)) as cursor:
        statement = f"SELECT {_COLUMNS} FROM dead_letters WHERE {condition} ORDER BY dead_letter_id"
        return cursor.execute(statement.encode(), params).fetchall()


@contextmanager
def _asking(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            yield connection
    except psycopg.errors.UndefinedTable as empty:
        raise CannotAsk(f"this database is not a shop's, or not migrated: {empty}") from None
    except psycopg.OperationalError as away:
        raise CannotAsk(f"the database cannot be reached: {away}") from None
