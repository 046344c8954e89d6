"""Readers at the same position share one read; a reader that is behind joins them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pulsecart.broker import log_windows as tails
from pulsecart.broker.log_windows import KEPT_CHUNKS, Tail
from pulsecart.runtime.db.log import Chunk, Cursor, LogReader, connect
from tests.broker.stage import Log, event
from tests.client import until


class Counting(LogReader):
    """Counts its reads."""

    reads = 0

    async def next(self, cursor: Cursor, upto: str | None = None) -> Chunk | None:
        chunk = await super().next(cursor, upto)
        self.reads += chunk is not None
        return chunk


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Counting]:
    async with await connect(database_url) as connection:
        yield Counting(connection)


@pytest.fixture
async def tail(reader: Counting) -> AsyncIterator[Tail]:
    made = Tail(reader, await reader.end())
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def follow(tail: Tail, cursor: Cursor, count: int) -> tuple[list[str], Cursor]:
    """Read the next ``count`` events; return their ids and the last cursor."""
    ids: list[str] = []
    while len(ids) < count:
        chunk = await tail.after(cursor)
        ids += [row.event.id for row in chunk.rows]
        cursor = chunk.end
    return ids, cursor


async def test_ten_readers_at_the_end_cost_one_read(reader: Counting, tail: Tail, log: Log) -> None:
    start = tail._end
    readers = [asyncio.create_task(follow(tail, start, 3)) for _ in range(10)]
    await asyncio.sleep(0)
    written = [event(str(n)) for n in range(3)]
    await log.write(*written)
    tail.wake()
    results = await asyncio.gather(*readers)
    assert all(ids == [e.id for e in written] for ids, _ in results)
    assert len({cursor for _, cursor in results}) == 1
    assert reader.reads == 1


async def test_who_was_left_behind_reads_for_itself_and_then_stands_with_the_others(
    reader: Counting, tail: Tail, log: Log
) -> None:
    start = tail._end
    cursor = start
    ids: list[str] = []
    for n in range(KEPT_CHUNKS + 3):
        await log.write(sent := event(str(n)))
        tail.wake()
        some, cursor = await follow(tail, cursor, 1)
        ids += some
        assert some == [sent.id]
    before = reader.reads
    late, late_cursor = await follow(tail, start, len(ids))
    assert late == ids
    assert late_cursor == cursor
    assert tail.is_end(late_cursor)
    assert reader.reads == before + 1


async def test_a_reader_ahead_of_the_others_is_given_nothing_twice(reader: Counting, tail: Tail, log: Log) -> None:
    await log.write(event("old"))
    ahead = await reader.end()
    waiting = asyncio.create_task(follow(tail, ahead, 1))
    await asyncio.sleep(0)
    await log.write(new := event("new"))
    tail.wake()
    ids, _ = await waiting
    assert ids == [new.id]


async def test_no_one_waiting_means_nothing_is_read(reader: Counting, tail: Tail, log: Log) -> None:
    await log.write(event())
    tail.wake()
    await asyncio.sleep(0)
    assert reader.reads == 0
    assert len((await follow(tail, tail._end, 1))[0]) == 1


@pytest.mark.parametrize("hold_s", [60.0, 0.05])
async def test_events_are_read_after_the_orders_that_wait_or_when_they_have_waited_long(
    reader: Counting, log: Log, monkeypatch: pytest.MonkeyPatch, hold_s: float
) -> None:
    monkeypatch.setattr(tails, "HOLD_S", hold_s)
    asked, orders_wait = 0, True

    def busy() -> bool:
        nonlocal asked
        asked += 1
        return orders_wait

    held = Tail(reader, await reader.end(), busy)
    running = asyncio.create_task(held.run())
    following = asyncio.create_task(follow(held, held._end, 1))
    await log.write(written := event())
    held.wake()
    await until(lambda: asyncio.sleep(0, asked > 5 or following.done()))
    if hold_s > 1:
        assert reader.reads == 0
        orders_wait = False
    assert (await following)[0] == [written.id]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
