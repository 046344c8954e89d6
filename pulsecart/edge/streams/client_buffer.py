"""Where a client's bytes wait: bounded, so that a slow client costs no memory and nobody else's time."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

ROOM = 64
Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class Outlet:
    """
    A mailbox that its client's own task empties.

    Args:
        heartbeat: what keeps an idle connection open; empty for none.
        room: frames that may wait; one more ends the outlet, because its client is too slow.
    """

    def __init__(self, heartbeat: bytes = b"", room: int = ROOM) -> None:
        self.ended = False
        self._heartbeat = heartbeat
        self._room = room
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def put(self, frame: bytes, newest_only: bool = False) -> None:
        """Never waits. ``newest_only``: replaces what waits, which is then of no interest any more."""
        if newest_only:
            self._waiting.clear()
        elif len(self._waiting) >= self._room:
            return self.end()
        self._waiting.append(frame)
        self._filled.set()
        return None

    def beat(self) -> None:
        """The heartbeat, where nothing waits already."""
        if self._heartbeat and not self._waiting:
            self.put(self._heartbeat)

    def end(self) -> None:
        """No more is taken; ``take`` answers None."""
        self.ended = True
        self._filled.set()

    async def take(self, timeout_s: float | None = None) -> list[bytes] | None:
        """All that waits, as soon as there is something; None at the end, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            return None
        if self.ended:
            return None
        self._filled.clear()
        frames = list(self._waiting)
        self._waiting.clear()
        return frames


class DirectOutlet(Outlet):
    """
    Writes at once, in the caller's turn, as long as the client's socket takes it: waking a task per client for every
    frame would cost twice as much (benchmarks/sse_fanout.py). What finds the socket full waits as in any outlet.

    Args:
        send: of the ASGI connection; it must not ask which task it runs in.
    """

    def __init__(self, send: Send, heartbeat: bytes = b"", room: int = ROOM) -> None:
        super().__init__(heartbeat, room)
        self._send = send
        self._on_end: Callable[[], None] = lambda: None
        self._draining: asyncio.Task[None] | None = None

    def put(self, frame: bytes, newest_only: bool = False) -> None:
        if self.ended:
            return
        if self._draining is not None:
            super().put(frame, newest_only)
            return
        writing = self._send({"type": "http.response.body", "body": frame, "more_body": True})
        try:
            blocked_on = writing.send(None)
        except StopIteration:
            return
        except OSError:  # the client is gone
            self.end()
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain(_Rest(writing, blocked_on)))

    def beat(self) -> None:
        if self._draining is None:
            self.put(self._heartbeat)

    def end(self) -> None:
        if not self.ended:
            super().end()
            self._on_end()

    def when_ended(self, wake: Callable[[], None]) -> None:
        """``wake`` lets the connection's own task know; at once where it has ended already."""
        self._on_end = wake
        if self.ended:
            wake()

    def close(self) -> None:
        """The connection is over: nothing is written any more, nothing is left running."""
        self.ended = True
        self._on_end = lambda: None
        if self._draining is not None:
            self._draining.cancel()

    async def _drain(self, first: "_Rest") -> None:
        try:
            await first
            while self._waiting and not self.ended:
                await self._send({"type": "http.response.body", "body": self._waiting.popleft(), "more_body": True})
        except OSError:
            self.end()
        finally:
            self._draining = None


class _Rest:
    """What is left of a coroutine that was begun outside of a task and met ``blocked_on``."""

    def __init__(self, begun: Coroutine[Any, Any, None], blocked_on: Any) -> None:
        self._begun = begun
        self._blocked_on = blocked_on

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._blocked_on
        except BaseException:
            self._begun.close()
            raise
        yield from self._begun.__await__()
