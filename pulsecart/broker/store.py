"""What the broker remembers: locks, cursors, backlog and ticks, all on the one connection that holds the locks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from pulsecart.broker.key_lanes import Row
from pulsecart.runtime.db.log import Cursor, LogReader, connect

Lost = psycopg.Error  # whatever PostgreSQL refuses: without it there is no lock to dispatch under
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
    """One session; when it ends, so do its locks."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self.log = LogReader(connection)

    @property
    def at_rest(self) -> asyncio.Lock:
        """Hold it to cancel who uses this store: a query cut off in its middle would end the session."""
        return self._connection.lock

    async def lock(self, triggers: Sequence[str]) -> list[str]:
        """Those of ``triggers`` whose lock was free and is now held here."""
        return [
            name
            for (name,) in await self._rows(
                f"SELECT name FROM unnest(%s::text[]) AS name WHERE pg_try_advisory_lock({_LOCK})", (list(triggers),)
            )
        ]

    async def unlock(self, trigger: str) -> None:
        await self._rows(f"SELECT pg_advisory_unlock({_LOCK}) FROM (SELECT %s::text AS name)", (trigger,))

    async def show_presence(self, worker: int) -> None:
        """Let others see that this worker is there."""
        await self._rows(f"SELECT pg_advisory_lock_shared({_WORKER}) FROM (SELECT %s::text AS number)", (str(worker),))

    async def present(self, workers: Sequence[int]) -> set[int]:
        """Those of ``workers`` that are there."""
        if not workers:
            return set()
        found = await self._rows(
            f"""SELECT number FROM unnest(%s::text[]) AS number
                WHERE CASE WHEN pg_try_advisory_lock({_WORKER}) THEN NOT pg_advisory_unlock({_WORKER}) ELSE true END""",
            ([str(worker) for worker in workers],),
        )
        return {int(number) for (number,) in found}

    async def cursors(self, triggers: Sequence[str], whole_log: bool = False) -> dict[str, Cursor]:
        """Where these stand; a new one stands at the log's end, or before all of it."""
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
        """All their rows, each key's in order."""
        return _backlog(
            await self._rows(
                f"{_BACKLOG} FROM trigger_backlog WHERE trigger = ANY(%s) ORDER BY position", (list(triggers),)
            )
        )

    async def due(self, triggers: Sequence[str], limit: int = 1000) -> list[Row]:
        """Rows whose time has come, known here or not."""
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
        """In one transaction: cursors with their lag in seconds, rows to store, and rows (None) to delete."""
        params = {
            "cursors": _json([(name, *cursor, round(lag_s, 3)) for name, (cursor, lag_s) in cursors.items()], _CURSOR)
        }
        if rows:
            params["gone"] = _json([key for key, row in rows.items() if row is None], ("trigger", "position"))
            params["rows"] = _encode([row._asdict() for row in rows.values() if row is not None]).decode()
        await self._connection.execute((_MOVE_AND_PARK if rows else _MOVE).encode(), params, prepare=True)

    async def forget_all_but(self, triggers: Sequence[str]) -> dict[str, int]:
        """Drop the cursors and rows of triggers that are no more; how many rows each had waiting."""
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
        A dump restored into a younger server brings transaction numbers from its future. Where that is so, what was
        done becomes old, and what any trigger had not done becomes new, for all: how many that are.
        """
        async with self._connection.transaction():
            await self._rows("SELECT pg_advisory_xact_lock(hashtextextended('restored', 0))", ())
            if not (await self._rows(_FROM_THE_FUTURE, ()))[0][0]:
                return None
            before = (await self.log.end()).window_to  # of this transaction's own number, which the undone get
            undone = await self._rows(_RENUMBER, ())
            await self._connection.execute(
                "UPDATE trigger_cursors SET window_from = %s, window_to = %s, position = 0", (before, before)
            )
            return sum(1 for (is_undone,) in undone if is_undone)

    async def lag_of_others(self, triggers: Sequence[str]) -> float:
        """The worst lag in seconds that other workers have stored lately."""
        found = await self._rows(
            """SELECT coalesce(max(lag_s), 0)::float8 FROM trigger_cursors
               WHERE trigger <> ALL(%s) AND moved_at > now() - interval '3 s'""",
            (list(triggers),),
        )
        return float(found[0][0])

    async def claim_tick(self, ping_source: str, tick: datetime) -> bool:
        """Whether this is the worker that fires this tick."""
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
    """A store on a connection of its own, closed at the end."""
    connection = await connect(database_url)
    try:
        yield Store(connection)
    finally:
        await connection.close()  # without a last word to the server: that could be cancelled, and it would stay open


def _json(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> str:
    return _encode([dict(zip(names, row, strict=True)) for row in rows]).decode()


def _backlog(found: Sequence[Any]) -> list[Row]:
    return [
        Row(trigger, position, key, attempts, due_at, code or 0, data or b"")
        for trigger, position, key, attempts, due_at, code, data in found
    ]
