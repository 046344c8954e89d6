"""Reads each new window of the log once and shares it with all readers whose cursor is at the same position."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from pulsecart.runtime.db.log import Chunk, Cursor, LogReader, sees

POLL_S = 1.0  # covers lost wake-ups
PACE_S = 0.005  # between two reads at the end: under load, windows get larger instead of more frequent
HOLD_S = 1.0  # longest delay of a read while orders wait to be written
KEPT_CHUNKS = 4


class Tail:
    """
    The newest windows of the log, for any number of readers in one event loop.

    A reader requests the rows after its own cursor. Readers at the end wait, and one read serves all of them. A reader
    further behind reads separately until it reaches the end.

    Args:
        busy: while it returns true, a read at the end is delayed by up to HOLD_S: dispatching an order's events costs
            many times the order itself, on the same event loop, and the buyer waits for the next commit, not for them.
    """

    def __init__(self, reader: LogReader, end: Cursor, busy: Callable[[], bool] = lambda: False) -> None:
        self._reader = reader
        self._busy = busy
        self._end = end
        self._chunks: OrderedDict[Cursor, Chunk] = OrderedDict()
        self._reading = asyncio.Lock()
        self._woken = asyncio.Event()
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()

    def wake(self) -> None:
        """Start the next read now: events were committed."""
        self._woken.set()

    def is_end(self, cursor: Cursor) -> bool:
        """Whether no row after ``cursor`` is known."""
        return cursor == self._end

    async def run(self) -> None:
        """Read at the end after each wake-up and at least every POLL_S, while a reader waits there."""
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            await self._hold()
            self._woken.clear()
            async with self._reading:
                chunk = await self._reader.next(self._end)
                if chunk is not None:
                    self._move(chunk)
            await asyncio.sleep(PACE_S)

    async def _hold(self) -> None:
        until = time.monotonic() + HOLD_S
        while self._busy() and time.monotonic() < until:  # noqa: ASYNC110  # no event signals its end
            await asyncio.sleep(PACE_S)

    async def after(self, cursor: Cursor) -> Chunk:
        """Wait for the rows after ``cursor``; an empty chunk only moves the reader to the shared position."""
        while True:
            chunk = self._chunks.get(cursor)
            if chunk is not None:
                return chunk
            if cursor == self._end:
                self._wanted.set()
                await self._moved.wait()
            else:
                async with self._reading:
                    await self._catch_up(cursor)

    async def _catch_up(self, cursor: Cursor) -> None:
        if cursor in self._chunks or cursor == self._end:
            return
        shared = self._end.window_to if cursor.finished and sees(self._end.window_to, cursor.window_to) else None
        chunk = await self._reader.next(cursor, shared)
        if chunk is None:  # this cursor is ahead of the known end and becomes the end
            self._set_end(cursor)
        elif shared is None and cursor.finished:
            self._move(chunk)
        else:
            self._keep(chunk)

    def _move(self, chunk: Chunk) -> None:
        self._keep(chunk)
        self._set_end(Cursor.after(chunk.end.window_to))

    def _keep(self, chunk: Chunk) -> None:
        self._chunks[chunk.start] = chunk
        while len(self._chunks) > KEPT_CHUNKS:
            self._chunks.popitem(last=False)

    def _set_end(self, end: Cursor) -> None:
        self._end = end
        self._wanted.clear()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
