"""
Reads the event log by snapshot: the rows visible now that were not visible before, ordered by position.

A cursor is a window between two snapshots and a position in it. A row belongs to the first window whose later snapshot
sees its transaction: a row that commits late, even hours later, is in a later window and never delays other rows.
The alternatives fail: ``position > cursor`` loses late commits, an xid horizon waits for the longest transaction.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection

from pulsecart.runtime.event import CloudEvent

CHUNK = 2000
LISTED = 100_000  # positions of a large window kept in memory, 8 bytes each
KEPT_LISTS = 3
_SESSION = (
    "-c synchronous_commit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off "
    "-c max_parallel_workers_per_gather=0 -c TimeZone=UTC"
)


class Cursor(NamedTuple):
    """
    Marks a reader's progress: it has read all rows that ``window_from`` sees, and of those that only ``window_to``
    sees, all up to ``position``.

    Snapshots have PostgreSQL's text form, ``xmin:xmax:xip,…``. If both are equal, the window is finished.
    """

    window_from: str
    window_to: str
    position: int

    @classmethod
    def after(cls, snapshot: str) -> "Cursor":
        return cls(snapshot, snapshot, 0)

    @property
    def finished(self) -> bool:
        return self.window_from == self.window_to


class Logged(NamedTuple):
    """Holds an event, its position in the log, and the time it was logged, in seconds since 1970."""

    position: int
    event: CloudEvent
    logged_at: float


class Chunk(NamedTuple):
    """Holds at most CHUNK rows that follow ``start``; after reading all of them the cursor is ``end``."""

    start: Cursor
    end: Cursor
    rows: Sequence[Logged]

    def at(self, position: int) -> Cursor:
        """Return the cursor of a reader that has processed these rows up to ``position``."""
        begin = self.start.window_to if self.start.finished else self.start.window_from
        return Cursor(begin, self.end.window_to, position)


def sees(later: str, earlier: str) -> bool:
    """Return whether ``later`` sees every transaction that ``earlier`` sees, as a window between them requires."""
    _, xmax, running = _parts(later)
    _, earlier_xmax, earlier_running = _parts(earlier)
    return earlier_xmax <= xmax and all(xid in earlier_running for xid in running if xid < earlier_xmax)


def _parts(snapshot: str) -> tuple[int, int, frozenset[int]]:
    xmin, xmax, running = snapshot.split(":")
    return int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset()


# "Not visible in the window's start", in a form that uses the index on xid: transactions that had not begun then, and
# the few that were running. position + 0: ordering by the bare column would scan the table from its start.
_UNSEEN = """
FROM outbox
WHERE (xid >= pg_snapshot_xmax(%(start)s::pg_snapshot)
    OR xid = ANY(ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))
"""
_WITHIN = "AND pg_visible_in_snapshot(xid, %(end)s::pg_snapshot) AND position > %(position)s"
_COLUMNS = """position, extract(epoch FROM logged_at)::float8, id, source, type, subject, time, time_text, dataschema,
    datacontenttype, partitionkey, extensions::text, data"""
_NEW = f"""
SELECT {_COLUMNS}, CASE WHEN row_number() OVER (ORDER BY position + 0) = 1 THEN pg_current_snapshot()::text END
{_UNSEEN} ORDER BY position + 0 LIMIT {CHUNK + 1}
"""
_WINDOW = f"SELECT {_COLUMNS} {_UNSEEN} {_WITHIN} ORDER BY position + 0 LIMIT {CHUNK + 1}"
_LIST = f"SELECT array_agg(position) FROM (SELECT position {_UNSEEN} {_WITHIN} ORDER BY position + 0 LIMIT {LISTED})"
_AT = f"SELECT {_COLUMNS} FROM outbox WHERE position = ANY(%s::bigint[]) ORDER BY position + 0"
_UNREAD = f"""
SELECT count(*), extract(epoch FROM min(logged_at))::float8
FROM (SELECT logged_at {_UNSEEN} AND position > %(position)s LIMIT %(limit)s)
"""
_decode_extensions = msgspec.json.Decoder(dict[str, str]).decode


class LogReader:
    """Reads the log with one connection, opened by ``connect``."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._lists: dict[tuple[str, str], array[int]] = {}

    async def end(self) -> Cursor:
        """Return a cursor at the end of the log: it covers every row visible now."""
        return Cursor.after((await self._rows("SELECT pg_current_snapshot()::text", ()))[0][0])

    async def next(self, cursor: Cursor, upto: str | None = None) -> Chunk | None:
        """
        Return the rows that follow ``cursor``, or None if there are none.

        Args:
            upto: the snapshot that ends the next window; it must see all that the cursor's snapshot sees. None: now.
        """
        if not cursor.finished:
            return await self._within(cursor)
        if upto is not None:
            return (await self._within(Cursor(cursor.window_to, upto, 0)))._replace(start=cursor)
        rows = await self._rows(_NEW, {"start": cursor.window_to})
        if not rows:
            return None
        opened = Cursor(cursor.window_to, rows[0][-1], 0)
        return await self._chunk(cursor, opened, rows)

    async def at(self, positions: Sequence[int]) -> list[Logged]:
        """Return the rows at ``positions``; missing ones are left out."""
        return [_logged(row) for row in await self._rows(_AT, (list(positions),))]

    async def unread(self, cursor: Cursor, limit: int) -> tuple[int, float]:
        """Return how many rows follow, at most ``limit``, and the oldest one's log time, in seconds since 1970."""
        wanted = {"start": cursor.window_from, "position": cursor.position, "limit": limit}
        count, oldest = (await self._rows(_UNREAD, wanted))[0]
        return count, oldest or 0.0

    async def _within(self, cursor: Cursor) -> Chunk:
        positions = self._lists.get((cursor.window_from, cursor.window_to))
        if positions is not None and len(positions) and cursor.position < positions[-1]:
            begin = bisect_right(positions, cursor.position)
            found = [_logged(row) for row in await self._rows(_AT, (positions[begin : begin + CHUNK].tolist(),))]
            return Chunk(cursor, cursor._replace(position=found[-1].position), found)
        wanted = {"start": cursor.window_from, "end": cursor.window_to, "position": cursor.position}
        return await self._chunk(cursor, cursor, await self._rows(_WINDOW, wanted))

    async def _chunk(self, start: Cursor, window: Cursor, rows: Sequence[Any]) -> Chunk:
        found = [_logged(row) for row in rows[:CHUNK]]
        if len(rows) <= CHUNK:
            self._lists.pop((window.window_from, window.window_to), None)
            return Chunk(start, Cursor.after(window.window_to), found)
        end = window._replace(position=found[-1].position)
        await self._list(end)
        return Chunk(start, end, found)

    async def _list(self, cursor: Cursor) -> None:
        """Cache a large window's sorted positions: the window is sorted once, not once per chunk."""
        wanted = {"start": cursor.window_from, "end": cursor.window_to, "position": cursor.position}
        listed = (await self._rows(_LIST, wanted))[0][0]
        self._lists[cursor.window_from, cursor.window_to] = array("q", listed or ())
        while len(self._lists) > KEPT_LISTS:
            self._lists.pop(next(iter(self._lists)))

    async def _rows(self, sql: str, params: Any) -> Sequence[Any]:
        cursor = await self._connection.execute(sql.encode(), params, prepare=True, binary=True)
        return await cursor.fetchall()


async def connect(database_url: str) -> AsyncConnection[Any]:
    """
    Open a reader's connection, to which its lock, cursor and backlog are bound.

    A crash of PostgreSQL may lose its last cursor writes: the events it then reads again were already handled.
    """
    return await AsyncConnection.connect(
        database_url,
        autocommit=True,
        application_name="pulsecart-log",
        options=_SESSION,
        connect_timeout=5,
        tcp_user_timeout=10_000,
    )


def _logged(row: Any) -> Logged:
    position, logged_at, id, source, type, subject, time, time_text, dataschema, datacontenttype = row[:10]
    key, extensions, data = row[10:13]
    try:
        attributes = _decode_extensions(extensions)
    except msgspec.MsgspecError:  # one unreadable row must not stop every reader
        attributes = {}
    if "partitionkey" not in attributes and key not in (id, f"{source} {id}"):
        attributes["partitionkey"] = key
    event = CloudEvent(
        id=id,
        source=source,
        type=type,
        time=time,
        time_text=time_text,
        subject=subject,
        dataschema=dataschema,
        datacontenttype=datacontenttype,
        data=data,
        extensions=attributes,
    )
    return Logged(position, event, logged_at)
