"""One timer for all who may take equally long: a timer for each costs as much as a cheap request's other work."""

import asyncio
from collections import deque
from types import TracebackType


class Deadline:
    """
    ``with deadline.turn():`` bounds what is awaited inside, as ``asyncio.timeout`` would. One per event loop.

    Args:
        seconds: the same for all who do not ask for less.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turns: deque[_Turn] = deque()  # in the order of their ends
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def turn(self, seconds: float | None = None) -> "_Turn":
        """
        Args:
            seconds: fewer than everybody's; more changes nothing.

        Raises (at the end of the block):
            TimeoutError: it took longer.
        """
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if seconds is not None and seconds < self._seconds:
            hurried = _Turn(0.0, asyncio.current_task(loop))
            hurried.timer = loop.call_later(seconds, hurried.end)
            return hurried
        turns = self._turns
        while turns and turns[0].task is None:
            turns.popleft()
        turn = _Turn(loop.time() + self._seconds, asyncio.current_task(loop))
        turns.append(turn)
        if self._timer is None:
            self._timer = loop.call_at(turn.ends, self._ring)
        return turn

    def _ring(self) -> None:
        assert self._loop is not None  # noqa: S101  # it set the timer
        turns, now = self._turns, self._loop.time()
        self._timer = None
        while turns:
            first = turns[0]
            if first.task is not None and first.ends > now:
                self._timer = self._loop.call_at(first.ends, self._ring)
                return
            turns.popleft().end()


class _Turn:
    """``task`` is None once it is over; ``timer`` is its own, if it has one."""

    __slots__ = ("_cancels", "_late", "ends", "task", "timer")

    def __init__(self, ends: float, task: "asyncio.Task[object] | None") -> None:
        self.ends = ends
        self.task = task
        self.timer: asyncio.TimerHandle | None = None
        self._late = False
        self._cancels = task.cancelling() if task is not None else 0

    def end(self) -> None:
        """It took too long."""
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
