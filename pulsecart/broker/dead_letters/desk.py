"""Lists, reads, replays and discards dead letters for an operator; a replay reaches only the trigger that failed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from pulsecart.broker.dead_letters.table import OPEN, RAW
from pulsecart.runtime.db.database import as_json
from pulsecart.runtime.printable import storable

RELAY = "relay"  # its cursor is "/relay", the only cursor name that no Trigger can have
State = Literal["open", "replayed", "discarded", "all"]
_STATES = {
    "open": OPEN,
    "replayed": "replayed_at IS NOT NULL AND discarded_at IS NULL",
    "discarded": "discarded_at IS NOT NULL",
    "all": "true",
}
_COLUMNS = """dead_letter_id AS id, trigger, type, event_id, source, error_code, error_data, received_at, replayed_at,
    discarded_at, discarded_by, discarded_why"""
_MATCHING = """
    (%(trigger)s::text IS NULL OR trigger = %(trigger)s) AND (%(cause)s::text IS NULL
        OR strpos(lower(coalesce(error_data, '')), lower(%(cause)s)) > 0 OR error_code::text = %(cause)s)
"""
_REPLAY = """
WITH chosen AS (
    SELECT dead_letter_id, named.id, named.source,
        CASE trigger WHEN %(relay)s THEN '/' || trigger ELSE trigger END AS trigger
    FROM json_to_recordset(%(named)s::json) AS named(dead_letter_id bigint, id text, source text)
    JOIN dead_letters USING (dead_letter_id)
), relayed AS ( -- on a cluster, where the broker has no replay of its own, relay sends it
    UPDATE dead_letters SET replay_due_at = now(), replayed_at = now(), discarded_at = NULL FROM chosen
    WHERE dead_letters.dead_letter_id = chosen.dead_letter_id
        AND chosen.trigger NOT IN (SELECT trigger FROM trigger_cursors)
        AND EXISTS (SELECT FROM trigger_cursors WHERE trigger = '/relay')
    RETURNING chosen.dead_letter_id
), found AS (
    SELECT chosen.dead_letter_id, chosen.trigger, max(outbox.position) AS position
    FROM chosen JOIN outbox ON outbox.id = chosen.id AND outbox.source = chosen.source
    WHERE chosen.trigger IN (SELECT trigger FROM trigger_cursors)
    GROUP BY chosen.dead_letter_id, chosen.trigger
), queued AS (
    INSERT INTO trigger_backlog (trigger, position, partitionkey, attempts, due_at)
    SELECT found.trigger, position, outbox.partitionkey, 0, now() FROM found JOIN outbox USING (position)
    ON CONFLICT (trigger, position) DO UPDATE SET attempts = 0, due_at = now(), error_code = NULL, error_data = NULL
        WHERE NOT %(wait)s
    RETURNING trigger, position
), marked AS (
    UPDATE dead_letters SET replayed_at = now(), discarded_at = NULL FROM found JOIN queued USING (trigger, position)
    WHERE dead_letters.dead_letter_id = found.dead_letter_id
)
SELECT dead_letter_id, queued.position IS NOT NULL FROM found LEFT JOIN queued USING (trigger, position)
UNION ALL SELECT dead_letter_id, true FROM relayed
"""
_DISCARD = f"""
    UPDATE dead_letters SET discarded_at = now(), discarded_by = %s, discarded_why = %s
    WHERE dead_letter_id = ANY(%s) AND {OPEN} RETURNING dead_letter_id
"""
# The backlog row of a dead letter is deleted shortly after; a replay written into it before would be deleted with it.
# A row that stays longer than ROW_GOES_S was left by a dispatcher that died, and is reused.
ROW_GOES_S = 2.0
LOOK_AGAIN_S = 0.05


class CannotAsk(Exception):
    """The database cannot be reached or is not a shop's; the message states which."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; long values of ``event_id`` and ``source`` are shortened."""

    id: int
    trigger: str
    type: str
    event_id: str
    source: str
    error_code: int | None
    error_data: str | None
    received_at: datetime
    replayed_at: datetime | None
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None

    @property
    def state(self) -> str:
        return "discarded" if self.discarded_at else "replayed" if self.replayed_at else "open"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A filter for dead letters.

    Args:
        cause: a part of the subscriber's response, case-insensitive, or the status.
    """

    state: State = "open"
    trigger: str | None = None
    cause: str | None = None


def waiting(database_url: str) -> list[Letter]:
    """Return the open dead letters, including those that failed again after a replay, oldest first."""
    return found(database_url, Wanted())


def found(database_url: str, wanted: Wanted, limit: int | None = None) -> list[Letter]:
    """Return the dead letters that match ``wanted``, oldest first."""
    return _letters(database_url, f"{_STATES[wanted.state]} AND {_MATCHING}", _given(wanted) | {"limit": limit})


def count(database_url: str, wanted: Wanted) -> int:
    with _asking(database_url) as connection:
        statement = f"SELECT count(*) FROM dead_letters WHERE {_STATES[wanted.state]} AND {_MATCHING}"
        row = connection.execute(statement.encode(), _given(wanted)).fetchone()
        return int(row[0]) if row else 0


def letter(database_url: str, id: int) -> tuple[Letter, bytes] | None:
    """Return one dead letter in any state with the bytes of its event (``pulsecart.broker.dead_letters.letters``)."""
    letters = _letters(database_url, "dead_letter_id = %(id)s", {"id": id, "limit": 1})
    if not letters:
        return None
    with _asking(database_url) as connection:
        row = connection.execute(f"SELECT {RAW} FROM dead_letters WHERE dead_letter_id = %s".encode(), (id,)).fetchone()
    return letters[0], bytes(row[0]) if row and row[0] is not None else b""


def discard(database_url: str, ids: Sequence[int], *, by: str, why: str) -> set[int]:
    """
    Discard open dead letters, and store the operator (``by``) and the reason (``why``) with them.

    Returns:
        The ids that were open and are now discarded.
    """
    with _asking(database_url) as connection:
        rows = connection.execute(_DISCARD.encode(), (storable(by), storable(why), list(ids)))
        return {id for (id,) in rows}


def replay(database_url: str, ids: Sequence[int]) -> set[int]:
    """
    Queue these events for the trigger that failed, and for no other; after a new failure they are open again.

    Returns:
        The ids that were queued: their event is still in the log, and their trigger still exists.
    """
    queued: dict[int, bool] = {}
    until = monotonic() + ROW_GOES_S
    with _asking(database_url) as connection:
        named = _named(connection, ids)
        while left := [name for name in named if not queued.get(name["dead_letter_id"], False)]:
            parameters = {"named": as_json(left), "relay": RELAY, "wait": monotonic() < until}
            queued.update(connection.execute(_REPLAY, parameters).fetchall())
            connection.commit()
            if all(queued.values()):
                break
            sleep(LOOK_AGAIN_S)
    return set(queued)


def _named(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the unshortened id and source of each letter's event, as they are in the log."""
    statement = f"""
        SELECT dead_letter_id, event_id, source, CASE WHEN source || event_id LIKE '%%… sha256:%%' THEN {RAW} END
        FROM dead_letters WHERE dead_letter_id = ANY(%s)
    """
    rows = connection.execute(statement.encode(), (list(ids),)).fetchall()
    return [
        {"dead_letter_id": id, "id": _whole(raw, "id", event_id), "source": _whole(raw, "source", source)}
        for id, event_id, source, raw in rows
    ]


def _whole(raw: bytes | None, member: str, key: str) -> str:
    if raw is None:
        return key
    try:
        return storable(str(json.loads(raw)[member]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return key


def _given(wanted: Wanted) -> dict[str, Any]:
    named = {"trigger": wanted.trigger, "cause": wanted.cause}
    return {name: None if value is None else storable(value) for name, value in named.items()}


def _letters(database_url: str, condition: str, params: dict[str, Any]) -> list[Letter]:
    with _asking(database_url) as connection, connection.cursor(row_factory=class_row(Letter)) as cursor:
        statement = f"SELECT {_COLUMNS} FROM dead_letters WHERE {condition} ORDER BY dead_letter_id LIMIT %(limit)s"
        return cursor.execute(statement.encode(), params).fetchall()


@contextmanager
def _asking(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as empty:
        raise CannotAsk(f"this is not a shop's database, or it is not migrated: {empty}") from None
    except psycopg.OperationalError as away:
        raise CannotAsk(f"the database cannot be reached: {away}") from None
