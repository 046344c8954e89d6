"""Windows read once and shared: readers that stand at the same place get the same rows."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from pulsecart.runtime.db.log import Chunk, Cursor, LogReader, sees

POLL_S = 1.0  # repairs lost pokes
PACE_S = 0.005  # between two reads at the end: under load windows grow instead of multiplying
HOLD_S = 1.0  # at most, while orders wait to be written
KEPT_CHUNKS = 4


class Tail:
    """
    The newest windows of the log, for any number of readers in one event loop.

    A reader asks for what follows its own cursor. At the end it waits, and one read serves all who wait; behind, it
    reads for itself up to the place where the others are, and so joins them.

    Args:
        busy: asked before a read at the end, which waits up to HOLD_S while it is: taking an order's events down costs
            many times the order itself, on the same loop, and its buyer waits for the next commit, not for them.
    """

    def __init__(self, reader: LogReader, end: Cursor, busy: Callable[[], bool] = lambda: False) -> None:
        self._reader = reader
        self._busy = busy
        self._end = end
        self._chunks: OrderedDict[Cursor, Chunk] = OrderedDict()
        self._reading = asyncio.Lock()
        self._poked = asyncio.Event()
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()

    def wake(self) -> None:
        """Something was committed."""
        self._poked.set()

    def is_end(self, cursor: Cursor) -> bool:
        """Whether nothing after ``cursor`` is known."""
        return cursor == self._end

    async def run(self) -> None:
        """Read at the end, at each poke and at least every POLL_S, as long as somebody waits there."""
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._poked.wait()
            await self._hold()
            self._poked.clear()
            async with self._reading:
                chunk = await self._reader.next(self._end)
                if chunk is not None:
                    self._move(chunk)
            await asyncio.sleep(PACE_S)

    async def _hold(self) -> None:
        until = time.monotonic() + HOLD_S
        while self._busy() and time.monotonic() < until:  # noqa: ASYNC110  # nothing tells when it is over
            await asyncio.sleep(PACE_S)

    async def after(self, cursor: Cursor) -> Chunk:
        """The rows that follow ``cursor``, as soon as there are any; none where it only steps to the others' place."""
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
        if chunk is None:  # it is ahead of everybody: the end is where it stands
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
