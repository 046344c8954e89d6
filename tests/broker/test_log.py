"""Reading the log by snapshots: no event is lost or read twice, and no reader waits for another transaction."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from pulsecart.runtime.db import log as log_module
from pulsecart.runtime.db.log import Chunk, Cursor, LogReader, connect, sees
from pulsecart.runtime.db.outbox import append
from pulsecart.runtime.event import CloudEvent
from tests.broker.stage import Log, event


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[LogReader]:
    async with await connect(database_url) as connection:
        yield LogReader(connection)


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await psycopg.AsyncConnection.connect(database_url)) for _ in range(3)]


async def read_on(reader: LogReader, cursor: Cursor) -> tuple[list[CloudEvent], Cursor]:
    """Read on to the end of the log; return all events and the last cursor."""
    found: list[CloudEvent] = []
    while (chunk := await reader.next(cursor)) is not None:
        found += [row.event for row in chunk.rows]
        cursor = chunk.end
    return found, cursor


async def test_an_event_comes_back_as_it_was_written(reader: LogReader, log: Log) -> None:
    end = await reader.end()
    plain = CloudEvent(id="1", source="/elsewhere", type="x.y", datacontenttype="text/plain", data=b"\x00\xff")
    written = [event("a", 7, orderstatus="pending"), plain]
    await log.write(*written)
    assert (await read_on(reader, end))[0] == written


async def test_a_commit_that_becomes_visible_late_is_read_when_it_does(
    reader: LogReader, writers: list[psycopg.AsyncConnection[Any]]
) -> None:
    cursor = await reader.end()
    late, early = event("late"), event("early")
    await append(writers[0], [late])  # the smaller position and the smaller xid, committed last
    await append(writers[1], [early])
    await writers[1].commit()
    found, cursor = await read_on(reader, cursor)
    assert found == [early]
    await writers[0].commit()
    found, cursor = await read_on(reader, cursor)
    assert found == [late]
    assert await reader.next(cursor) is None


async def test_a_long_open_transaction_hides_nothing_and_is_read_when_it_commits(
    reader: LogReader, writers: list[psycopg.AsyncConnection[Any]], log: Log
) -> None:
    cursor = await reader.end()
    slow = event("slow")
    await append(writers[0], [slow])
    for n in range(5):
        meanwhile = event("quick", n)
        await log.write(meanwhile)
        found, cursor = await read_on(reader, cursor)
        assert found == [meanwhile]
    await writers[0].commit()
    assert (await read_on(reader, cursor))[0] == [slow]


async def test_reading_stays_cheap_while_a_transaction_is_open(
    database_url: str, reader: LogReader, writers: list[psycopg.AsyncConnection[Any]], log: Log
) -> None:
    cursor = await reader.end()
    await append(writers[0], [event("open")])
    for _ in range(4):
        await log.write(*[event("past", n) for n in range(2000)])
    _, cursor = await read_on(reader, cursor)
    await log.write(event("new"))
    async with await connect(database_url) as connection:
        rows = await connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + log_module._NEW, {"start": cursor.window_to}
        )
        plan = (await rows.fetchall())[0][0][0]["Plan"]
    assert plan["Actual Rows"] == 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 40
    assert "Seq Scan" not in str(plan)


async def test_two_writers_of_one_key_are_read_in_the_order_in_which_they_held_its_row(
    reader: LogReader, writers: list[psycopg.AsyncConnection[Any]]
) -> None:
    cursor = await reader.end()
    first, second, third = (event("key", n) for n in (1, 2, 3))
    await writers[1].execute("SELECT pg_current_xact_id()")  # has the smaller xid, and writes second
    await append(writers[0], [first])
    await writers[0].commit()
    await append(writers[1], [second])
    await writers[1].commit()
    await append(writers[0], [third])
    await writers[0].commit()
    assert (await read_on(reader, cursor))[0] == [first, second, third]


async def test_what_was_rolled_back_never_was(reader: LogReader, writers: list[psycopg.AsyncConnection[Any]]) -> None:
    cursor = await reader.end()
    kept = event("kept")
    await append(writers[0], [event("gone")])
    await append(writers[1], [kept])
    await writers[0].rollback()
    await writers[1].commit()
    assert (await read_on(reader, cursor))[0] == [kept]


@pytest.mark.parametrize("chunk_of", [1, 2, 3, 100])
async def test_reading_can_be_resumed_after_any_row(
    reader: LogReader, log: Log, monkeypatch: pytest.MonkeyPatch, chunk_of: int
) -> None:
    chunks_of(monkeypatch, chunk_of)
    cursor = await reader.end()
    written = [event(str(n % 3), n) for n in range(7)]
    await log.write(*written[:6])
    places: list[tuple[Cursor, int]] = [(cursor, 0)]
    done = 0
    while (chunk := await reader.next(cursor)) is not None:
        places += [(chunk.at(row.position), done + at) for at, row in enumerate(chunk.rows, 1)]
        done += len(chunk.rows)
        cursor = chunk.end
        places.append((cursor, done))
    await log.write(written[6])
    for place, read in places:
        fresh = LogReader(reader._connection)
        assert (await read_on(fresh, place))[0] == written[read:]


async def test_a_window_larger_than_the_list_of_its_positions_is_read_to_its_end(
    reader: LogReader, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks_of(monkeypatch, 3, listed=4)
    cursor = await reader.end()
    written = [event("k", n) for n in range(20)]
    await log.write(*written)
    assert (await read_on(reader, cursor))[0] == written


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_interleaving_every_committed_event_is_read_once(
    reader: LogReader,
    writers: list[psycopg.AsyncConnection[Any]],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    chunks_of(monkeypatch, 2)
    dice = random.Random(seed)
    cursor = await reader.end()
    pending: dict[int, list[CloudEvent]] = {0: [], 1: [], 2: []}
    committed: list[CloudEvent] = []
    read: list[CloudEvent] = []
    for step in range(60):
        who, act = dice.randrange(3), dice.random()
        if act < 0.5:
            pending[who].append(event(str(who), step))
            await append(writers[who], pending[who][-1:])
        elif act < 0.65:
            await writers[who].commit()
            committed += pending.pop(who)
            pending[who] = []
        elif act < 0.72:
            await writers[who].rollback()
            pending[who] = []
        elif (chunk := await reader.next(cursor)) is not None:
            cursor = chunk.end
            read += [row.event for row in chunk.rows]
    for who, writer in enumerate(writers):
        await writer.commit()
        committed += pending[who]
    read += (await read_on(reader, cursor))[0]
    assert sorted(e.id for e in read) == sorted(e.id for e in committed)
    for who in range(3):
        steps = [e.sequence for e in read if e.partitionkey == str(who)]
        assert steps == sorted(steps)


async def test_a_window_between_two_known_snapshots_holds_what_the_later_adds(reader: LogReader, log: Log) -> None:
    start = await reader.end()
    inside, outside = event("inside"), event("outside")
    await log.write(inside)
    upto = (await reader.end()).window_to
    await log.write(outside)
    chunk = await reader.next(start, upto)
    assert isinstance(chunk, Chunk)
    assert [row.event for row in chunk.rows] == [inside]
    assert chunk.start == start
    assert (await read_on(reader, chunk.end))[0] == [outside]


async def test_unread_rows_are_counted_with_the_age_of_the_oldest(reader: LogReader, log: Log) -> None:
    cursor = await reader.end()
    assert await reader.unread(cursor, 10) == (0, 0.0)
    await log.write(event(), event())
    count, since = await reader.unread(cursor, 10)
    assert count == 2
    assert since == pytest.approx(
        (await log.rows("SELECT extract(epoch FROM min(logged_at))::float8 FROM outbox"))[0][0]
    )


@pytest.mark.parametrize(
    ("later", "earlier", "answer"),
    [
        ("10:20:", "10:20:", True),
        ("10:25:", "10:20:", True),
        ("10:15:", "10:20:", False),
        ("10:20:12", "10:20:12,13", True),
        ("10:20:12,13", "10:20:12", False),
        ("10:25:12,22", "10:20:12", True),
    ],
)
def test_one_snapshot_sees_what_another_does(later: str, earlier: str, answer: bool) -> None:
    assert sees(later, earlier) is answer


def chunks_of(monkeypatch: pytest.MonkeyPatch, rows: int, listed: int | None = None) -> None:
    """Set a small chunk size, so that few rows make many chunks."""
    new = {"CHUNK": rows, "_NEW": log_module._NEW.replace(f"LIMIT {log_module.CHUNK + 1}", f"LIMIT {rows + 1}")}
    new["_WINDOW"] = log_module._WINDOW.replace(f"LIMIT {log_module.CHUNK + 1}", f"LIMIT {rows + 1}")
    if listed is not None:
        new["_LIST"] = log_module._LIST.replace(f"LIMIT {log_module.LISTED}", f"LIMIT {listed}")
    for name, value in new.items():
        monkeypatch.setattr(log_module, name, value)
