"""Batches calls that arrive together into one run; group commit and every other batched write use it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from pulsecart.runtime.away import is_away
from pulsecart.runtime.problem import Problem, Unavailable

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
Members = list[tuple[Item, asyncio.Future[Result]]]


class Batcher(Generic[Item, Result]):
    """
    Collects items submitted in one event loop iteration, and while earlier runs are in flight, into one list.

    Args:
        run: receives up to ``size_max`` items and returns as many results, in order; an exception in a result's
            place is raised only to that item's caller. If ``run`` raises, it must have had no effect, or repeating it
            must be harmless: its items are then run in halves, recursively, until the failing ones fail alone, in at
            most 2n - 1 runs for n items. Only an error that reports an unavailable shared dependency (``is_away``:
            Unavailable, such as an unknown outcome of a commit, a lost connection, a timeout) is raised to all
            callers at once.
        size_max: maximum number of items per run.
        queue_max: maximum number of waiting items; further ones are rejected with ``Unavailable``.
        parallel: maximum number of runs in flight.
        drop_abandoned: skip an item whose caller was cancelled before a run took the item.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        size_max: int = 256,
        queue_max: int = 8192,
        parallel: int = 1,
        drop_abandoned: bool = False,
    ) -> None:
        self._run = run
        self._size_max = size_max
        self._queue_max = queue_max
        self._idle_runs = parallel
        self._drop_abandoned = drop_abandoned
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None  # cached: each look-up is a system call

    @property
    def waiting(self) -> int:
        """Return the number of items not yet in a run."""
        return len(self._waiting)

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """
        Queue ``item`` for the next run and return the future of its result.

        Raises:
            Unavailable: ``queue_max`` items are already waiting.
        """
        if len(self._waiting) >= self._queue_max:
            raise Unavailable("busy", f"{self._queue_max} calls are already queued. Try again in a second.")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._idle_runs and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start, context=Context())  # a run's logs must not carry one request's ids
        return future

    def _start(self) -> None:
        self._scheduled = False
        while self._idle_runs and self._waiting:
            self._idle_runs -= 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while batch := self._take():
                await self._finish(batch)
        finally:
            self._idle_runs += 1

    def _take(self) -> Members[Item, Result]:
        batch: Members[Item, Result] = []
        while self._waiting and len(batch) < self._size_max:
            submitted = self._waiting.popleft()
            if not (self._drop_abandoned and submitted[1].cancelled()):
                batch.append(submitted)
        return batch

    async def _finish(self, batch: Members[Item, Result]) -> None:
        parts = [batch]  # a stack: the next part to run is last
        while parts:
            part = parts.pop()
            results = await self._outcome(part)
            if not isinstance(results, Exception):
                _settle(part, results)
            elif is_away(results):
                rest = part + [member for later in reversed(parts) for member in later]
                _settle(rest, [results] * len(rest))
                return
            elif len(part) == 1:
                _settle(part, [results])
            else:
                if part is batch:
                    log.warning("a batch of %d calls failed (%s); it is repeated in parts", len(part), _named(results))
                middle = len(part) // 2
                parts += [half for half in map(self._wanted, (part[middle:], part[:middle])) if half]

    async def _outcome(self, part: Members[Item, Result]) -> Sequence[Result | Exception] | Exception:
        try:
            results = await self._run([item for item, _ in part])
        except Exception as error:
            return error
        return results if len(results) == len(part) else RuntimeError(f"{len(results)} results of {len(part)} items")

    def _wanted(self, part: Members[Item, Result]) -> Members[Item, Result]:
        return [member for member in part if not (self._drop_abandoned and member[1].cancelled())]


def _settle(part: Members[Item, Result], results: Sequence[Result | Exception]) -> None:
    for (_, future), result in zip(part, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _named(error: Exception) -> str:
    """Return the error's name without its message, which may contain request data."""
    return error.type if isinstance(error, Problem) else type(error).__name__
