"""
The log, read by snapshot: what is visible now and was not visible then, in the order of its positions.

A cursor is a window between two snapshots and a position in it. A row belongs to the first window whose later snapshot
sees its transaction: one that commits late, or after hours, is in a later window, and never hides the rows beside it.
Neither a bare ``position > cursor`` (loses the late one) nor an xid horizon (waits for the long one) can do that.
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
    All visible in ``window_from`` is done, and of what ``window_to`` adds, all up to ``position``.

    Snapshots are PostgreSQL's text form, ``xmin:xmax:xip,…``. Both the same: that window is finished.
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
    """An event and where it is; ``logged_at`` in seconds since 1970."""

    position: int
    event: CloudEvent
    logged_at: float


class Chunk(NamedTuple):
    """At most CHUNK rows after ``start``; a reader who is done with them stands at ``end``."""

    start: Cursor
    end: Cursor
    rows: Sequence[Logged]

    def at(self, position: int) -> Cursor:
        """Where a reader stands who has done all up to ``position`` of these rows."""
        begin = self.start.window_to if self.start.finished else self.start.window_from
        return Cursor(begin, self.end.window_to, position)


def sees(later: str, earlier: str) -> bool:
    """Whether ``later`` sees all that ``earlier`` does: only then is there a window between them."""
    _, xmax, running = _parts(later)
    _, earlier_xmax, earlier_running = _parts(earlier)
    return earlier_xmax <= xmax and all(xid in earlier_running for xid in running if xid < earlier_xmax)


def _parts(snapshot: str) -> tuple[int, int, frozenset[int]]:
    xmin, xmax, running = snapshot.split(":")
    return int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset()


# "Not visible in the window's start", said so that the index on xid answers it: the transactions that had not begun
# then, and the few that were running. position + 0: ordering by the bare column would walk the table from its start.
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
    """Reads with one connection, opened by ``connect``."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._lists: dict[tuple[str, str], array[int]] = {}

    async def end(self) -> Cursor:
        """The log's end: nothing that is visible now comes after it."""
        return Cursor.after((await self._rows("SELECT pg_current_snapshot()::text", ()))[0][0])

    async def next(self, cursor: Cursor, upto: str | None = None) -> Chunk | None:
        """
        What follows ``cursor``, or None when nothing does.

        Args:
            upto: the snapshot that ends the next window; it must see all that the cursor's does. None: now.
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
        """These rows, as far as they exist."""
        return [_logged(row) for row in await self._rows(_AT, (list(positions),))]

    async def unread(self, cursor: Cursor, limit: int) -> tuple[int, float]:
        """How many rows follow, ``limit`` at most, and when the oldest of them was logged, in seconds since 1970."""
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
        """Sort a large window once, instead of once a chunk."""
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
    A connection for a reader: it may lose its last cursor writes in a crash of PostgreSQL, since what it then reads
    again was done before; lock, cursor and backlog live and die with it.
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
    except msgspec.MsgspecError:  # whoever wrote the row: one that cannot be read would stop every reader
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
