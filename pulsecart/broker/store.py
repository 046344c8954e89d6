"""Stores the broker's cursors, backlog and ticks, on the same connection that holds its locks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from pulsecart.broker.key_lanes import Row
from pulsecart.runtime.db.log import Cursor, LogReader, connect

Lost = psycopg.Error  # any PostgreSQL error ends the session: without its locks nothing may be dispatched
_LOCK = "hashtextextended('trigger ' || name, 0)"
_WORKER = "hashtextextended('dispatcher ' || number, 0)"
_BACKLOG = """SELECT trigger, position, partitionkey, attempts, extract(epoch FROM nullif(due_at, 'infinity'))::float8,
    error_code, error_data"""
_MOVE = """
UPDATE trigger_cursors AS c SET window_from = m.window_from, window_to = m.window_to, position = m.position,
    moved_at = now(), lag_s = m.lag_s
FROM json_to_recordset(%(cursors)s::json)
    AS m(trigger text, window_from pg_snapshot, window_to pg_snapshot, position bigint, lag_s real)
WHERE c.trigger = m.trigger
"""
_MOVE_AND_PARK = f"""
WITH moved AS ({_MOVE}), gone AS (
    DELETE FROM trigger_backlog AS b USING json_to_recordset(%(gone)s::json) AS g(trigger text, position bigint)
    WHERE b.trigger = g.trigger AND b.position = g.position
)
INSERT INTO trigger_backlog (trigger, position, partitionkey, attempts, due_at, error_code, error_data)
SELECT trigger, position, key, attempts, coalesce(to_timestamp(due_at), 'infinity'), nullif(code, 0),
    decode(data, 'base64')
FROM json_to_recordset(%(rows)s::json)
    AS r(trigger text, position bigint, key text, attempts int, due_at float8, code int, data text)
ON CONFLICT (trigger, position) DO UPDATE SET attempts = excluded.attempts, due_at = excluded.due_at,
    error_code = excluded.error_code, error_data = excluded.error_data
"""
_FROM_THE_FUTURE = """
SELECT coalesce((SELECT max(xid) FROM outbox) >= pg_snapshot_xmax(pg_current_snapshot()), false)
    OR EXISTS (SELECT FROM trigger_cursors
               WHERE pg_snapshot_xmax(window_to) > pg_snapshot_xmax(pg_current_snapshot()))
"""
_RENUMBER = """
WITH undone AS (
    SELECT DISTINCT o.position FROM outbox AS o JOIN trigger_cursors AS c
        ON NOT pg_visible_in_snapshot(o.xid, c.window_from)
        AND NOT (pg_visible_in_snapshot(o.xid, c.window_to) AND o.position <= c.position)
)
UPDATE outbox SET xid = CASE WHEN undone.position IS NULL THEN '3'::xid8 ELSE pg_current_xact_id() END
FROM outbox AS every LEFT JOIN undone USING (position)
WHERE outbox.position = every.position RETURNING undone.position IS NOT NULL
"""
_encode = msgspec.json.Encoder().encode


class Store:
    """One database session; its locks are released when it ends."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self.log = LogReader(connection)

    @property
    def at_rest(self) -> asyncio.Lock:
        """Return the lock to hold while cancelling tasks that use this store: an interrupted query ends the session."""
        return self._connection.lock

    async def lock(self, triggers: Sequence[str]) -> list[str]:
        """Lock each of ``triggers`` that is free, and return the names locked."""
        return [
            name
            for (name,) in await self._rows(
                f"SELECT name FROM unnest(%s::text[]) AS name WHERE pg_try_advisory_lock({_LOCK})", (list(triggers),)
            )
        ]

    async def unlock(self, trigger: str) -> None:
        await self._rows(f"SELECT pg_advisory_unlock({_LOCK}) FROM (SELECT %s::text AS name)", (trigger,))

    async def show_presence(self, worker: int) -> None:
        """Take the lock by which other workers see that this worker is present."""
        await self._rows(f"SELECT pg_advisory_lock_shared({_WORKER}) FROM (SELECT %s::text AS number)", (str(worker),))

    async def present(self, workers: Sequence[int]) -> set[int]:
        """Return those of ``workers`` that are present."""
        if not workers:
            return set()
        found = await self._rows(
            f"""SELECT number FROM unnest(%s::text[]) AS number
                WHERE CASE WHEN pg_try_advisory_lock({_WORKER}) THEN NOT pg_advisory_unlock({_WORKER}) ELSE true END""",
            ([str(worker) for worker in workers],),
        )
        return {int(number) for (number,) in found}

    async def cursors(self, triggers: Sequence[str], whole_log: bool = False) -> dict[str, Cursor]:
        """Return the cursors; a new one starts at the end of the log, or with ``whole_log`` at its beginning."""
        await self._rows(
            """INSERT INTO trigger_cursors (trigger, window_from, window_to)
               SELECT name, first.snapshot, first.snapshot
               FROM unnest(%s::text[]) AS name,
                    (SELECT CASE WHEN %s THEN '1:1:' ELSE pg_current_snapshot() END AS snapshot) AS first
               ON CONFLICT DO NOTHING RETURNING 1""",
            (list(triggers), whole_log),
        )
        found = await self._rows(
            "SELECT trigger, window_from::text, window_to::text, position FROM trigger_cursors WHERE trigger = ANY(%s)",
            (list(triggers),),
        )
        return {name: Cursor(window_from, window_to, position) for name, window_from, window_to, position in found}

    async def backlog(self, triggers: Sequence[str]) -> list[Row]:
        """Return all backlog rows of the triggers, by position."""
        return _backlog(
            await self._rows(
                f"{_BACKLOG} FROM trigger_backlog WHERE trigger = ANY(%s) ORDER BY position", (list(triggers),)
            )
        )

    async def due(self, triggers: Sequence[str], limit: int = 1000) -> list[Row]:
        """Return up to ``limit`` rows that are due, including rows that the caller already holds."""
        return _backlog(
            await self._rows(
                f"""{_BACKLOG} FROM trigger_backlog
                    WHERE due_at <= now() AND trigger = ANY(%s) ORDER BY due_at, position LIMIT %s""",
                (list(triggers), limit),
            )
        )

    async def write(
        self, cursors: Mapping[str, tuple[Cursor, float]], rows: Mapping[tuple[str, int], Row | None]
    ) -> None:
        """Write in one transaction: cursors with their lag in seconds, rows to store, and rows to delete (None)."""
        params = {
            "cursors": _json([(name, *cursor, round(lag_s, 3)) for name, (cursor, lag_s) in cursors.items()], _CURSOR)
        }
        if rows:
            params["gone"] = _json([key for key, row in rows.items() if row is None], ("trigger", "position"))
            params["rows"] = _encode([row._asdict() for row in rows.values() if row is not None]).decode()
        await self._connection.execute((_MOVE_AND_PARK if rows else _MOVE).encode(), params, prepare=True)

    async def forget_all_but(self, triggers: Sequence[str]) -> dict[str, int]:
        """Delete the cursors and rows of triggers that no longer exist; return how many rows each had."""
        rows = await self._rows(
            """WITH waiting AS (DELETE FROM trigger_backlog WHERE trigger <> ALL(%(names)s) AND trigger NOT LIKE '/%%'
                             RETURNING trigger),
                 cursors AS (DELETE FROM trigger_cursors WHERE trigger <> ALL(%(names)s) AND trigger NOT LIKE '/%%'
                             RETURNING trigger)
               SELECT trigger, count(waiting.trigger) FROM cursors FULL JOIN waiting USING (trigger) GROUP BY 1""",
            {"names": list(triggers)},
        )
        return dict(rows)

    async def mend_restored(self) -> int | None:
        """
        Renumber the log after a restore; return how many events all triggers receive again, None if not needed.

        A dump restored into a fresh server can hold transaction numbers that the server has not reached yet. Events
        that all triggers have done get an old number; the others get a new number and are delivered to all again.
        """
        async with self._connection.transaction():
            await self._rows("SELECT pg_advisory_xact_lock(hashtextextended('restored', 0))", ())
            if not (await self._rows(_FROM_THE_FUTURE, ()))[0][0]:
                return None
            before = (await self.log.end()).window_to  # does not see this transaction, whose number undone events get
            undone = await self._rows(_RENUMBER, ())
            await self._connection.execute(
                "UPDATE trigger_cursors SET window_from = %s, window_to = %s, position = 0", (before, before)
            )
            return sum(1 for (is_undone,) in undone if is_undone)

    async def lag_of_others(self, triggers: Sequence[str]) -> float:
        """Return the largest lag in seconds that other workers have stored in the last 3 s."""
        found = await self._rows(
            """SELECT coalesce(max(lag_s), 0)::float8 FROM trigger_cursors
               WHERE trigger <> ALL(%s) AND moved_at > now() - interval '3 s'""",
            (list(triggers),),
        )
        return float(found[0][0])

    async def claim_tick(self, ping_source: str, tick: datetime) -> bool:
        """Claim a tick; return whether this worker fires it."""
        return bool(
            await self._rows(
                """INSERT INTO ping_ticks (ping_source, tick) VALUES (%s, %s)
                   ON CONFLICT (ping_source) DO UPDATE SET tick = excluded.tick WHERE ping_ticks.tick < excluded.tick
                   RETURNING 1""",
                (ping_source, tick),
            )
        )

    async def _rows(self, sql: str, params: Any) -> list[Any]:
        cursor = await self._connection.execute(sql.encode(), params, prepare=True, binary=True)
        return await cursor.fetchall()


_CURSOR = ("trigger", "window_from", "window_to", "position", "lag_s")


@asynccontextmanager
async def session(database_url: str) -> AsyncIterator[Store]:
    """Open a store on a separate connection, closed at the end."""
    connection = await connect(database_url)
    try:
        yield Store(connection)
    finally:
        await connection.close()  # sends no query first: its cancellation would leave the connection open


def _json(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> str:
    return _encode([dict(zip(names, row, strict=True)) for row in rows]).decode()


def _backlog(found: Sequence[Any]) -> list[Row]:
    return [
        Row(trigger, position, key, attempts, due_at, code or 0, data or b"")
        for trigger, position, key, attempts, due_at, code, data in found
    ]
