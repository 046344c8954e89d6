"""Limits calls that share one time limit by one timer: a timer per call would double the cost of a cheap request."""

import asyncio
from collections import deque
from types import TracebackType


class Deadline:
    """
    Limits the time of ``with deadline.limit():`` blocks, as ``asyncio.timeout`` would. One instance per event loop.

    Args:
        seconds: the default limit, and the maximum.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limits: deque[_Limit] = deque()  # ordered by the time they expire
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def limit(self, seconds: float | None = None) -> "_Limit":
        """
        Limit the current task until the end of the block.

        Args:
            seconds: a limit below the default; a higher one has no effect.

        Raises (at the end of the block):
            TimeoutError: the block exceeded the limit.
        """
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if seconds is not None and seconds < self._seconds:
            shorter = _Limit(0.0, asyncio.current_task(loop))
            shorter.timer = loop.call_later(seconds, shorter.end)
            return shorter
        limits = self._limits
        while limits and limits[0].task is None:
            limits.popleft()
        limit = _Limit(loop.time() + self._seconds, asyncio.current_task(loop))
        limits.append(limit)
        if self._timer is None:
            self._timer = loop.call_at(limit.ends, self._ring)
        return limit

    def _ring(self) -> None:
        assert self._loop is not None  # noqa: S101  # ``limit`` sets it before the timer
        limits, now = self._limits, self._loop.time()
        self._timer = None
        while limits:
            first = limits[0]
            if first.task is not None and first.ends > now:
                self._timer = self._loop.call_at(first.ends, self._ring)
                return
            limits.popleft().end()


class _Limit:
    """Limits one block; ``task`` is None after its end, ``timer`` is set only for a limit below the default."""

    __slots__ = ("_cancels", "_late", "ends", "task", "timer")

    def __init__(self, ends: float, task: "asyncio.Task[object] | None") -> None:
        self.ends = ends
        self.task = task
        self.timer: asyncio.TimerHandle | None = None
        self._late = False
        self._cancels = task.cancelling() if task is not None else 0

    def end(self) -> None:
        """Cancel the task, because the block exceeded its limit."""
        if self.task is not None:
            self._late = True
            self.task.cancel()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task, self.task = self.task, None
        if self.timer is not None:
            self.timer.cancel()
        if self._late and task is not None and task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error
