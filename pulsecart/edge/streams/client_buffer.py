"""Buffers the frames for one client, with a limit, so that a slow client costs little memory and delays no other."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

ROOM = 64
Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class Outlet:
    """
    A queue of frames that the client's own task sends.

    Args:
        heartbeat: the frame that keeps an idle connection open; empty for none.
        room: frames that may wait; with one more the client is too slow, and the outlet ends.
    """

    def __init__(self, heartbeat: bytes = b"", room: int = ROOM) -> None:
        self.ended = False
        self._heartbeat = heartbeat
        self._room = room
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def put(self, frame: bytes, newest_only: bool = False) -> None:
        """Queue a frame without waiting; with ``newest_only`` it replaces the frames that wait."""
        if newest_only:
            self._waiting.clear()
        elif len(self._waiting) >= self._room:
            return self.end()
        self._waiting.append(frame)
        self._filled.set()
        return None

    def beat(self) -> None:
        """Queue the heartbeat, if no frame waits."""
        if self._heartbeat and not self._waiting:
            self.put(self._heartbeat)

    def end(self) -> None:
        """End the outlet: ``take`` returns None from now on."""
        self.ended = True
        self._filled.set()

    async def take(self, timeout_s: float | None = None) -> list[bytes] | None:
        """Wait for frames and return all of them; None after the end or the timeout."""
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
    An outlet that writes synchronously, without switching tasks, while the client's socket accepts data.

    Waking a task per client for every frame would cost twice as much (benchmarks/sse_fanout.py). While the socket is
    full, frames wait as in ``Outlet``.

    Args:
        send: of the ASGI connection; it must not use the current task.
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
        """Call ``wake`` at the end, for the connection's own task; immediately if the outlet has ended already."""
        self._on_end = wake
        if self.ended:
            wake()

    def close(self) -> None:
        """Stop writing and cancel the running task; the connection has ended."""
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
    """Awaits the rest of a coroutine that was started outside a task and is suspended on ``blocked_on``."""

    def __init__(self, started: Coroutine[Any, Any, None], blocked_on: Any) -> None:
        self._begun = started
        self._blocked_on = blocked_on

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._blocked_on
        except BaseException:
            self._begun.close()
            raise
        yield from self._begun.__await__()
