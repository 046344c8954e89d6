"""Schedules at zero: who commits something due pokes the operation that does it; that one stays until all is done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from pulsecart.runtime.jitter import jittered

log = logging.getLogger(__name__)
POKE = "/poke"  # where an operation that is served alone is poked, by POST
QUIET_S = 60.0
GATHER_S = 0.1  # pokes that come this close together cost one look
AGAIN_S = 1.0  # between two tries at something that stays due: it is locked by another, or failed
AGAIN_MAX_S = 30.0

NextDue = Callable[[], Awaitable[datetime | None]]
Act = Callable[[], Awaitable[None]]


class Clock(Protocol):
    def now(self) -> datetime: ...


async def wait_on(event: asyncio.Event, seconds: float) -> None:
    """Until ``event`` is set, ``seconds`` at most."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


class Pokes:
    """
    Who stays awake in this process, one at a time per operation.

    Args:
        clock: what is due is compared with it.
        wait: ``wait_on``; tests give one that turns their clock instead.
        elsewhere: pokes an operation that is served by another process.
    """

    def __init__(
        self,
        clock: Clock,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_on,
        elsewhere: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._elsewhere = elsewhere
        self._wait = wait
        self._wakes: dict[str, Act] = {}
        self._poked: dict[str, asyncio.Event] = {}
        self._staying: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def register(self, operation: str, wake: Act) -> None:
        """``wake`` is what a poke starts here: it should end in ``stay``."""
        self._wakes[operation] = wake

    def knows(self, operation: str) -> bool:
        """Whether a poke reaches ``operation`` in this process."""
        return operation in self._wakes

    def poke(self, operation: str) -> None:
        """
        Wake ``operation``; returns at once. One that is awake looks again; one that nobody registered here is poked
        elsewhere, or left to its sweep.
        """
        self._event(operation).set()
        if self.awake(operation):
            return
        if operation in self._wakes:
            self._tasks[operation] = asyncio.get_running_loop().create_task(self._run(operation))
        elif self._elsewhere is not None:
            self._elsewhere(operation)

    def awake(self, operation: str) -> bool:
        """Whether somebody stays for it in this process."""
        return operation in self._staying or operation in self._tasks

    async def stay(self, operation: str, next_due: NextDue, act: Act, quiet_s: float = QUIET_S) -> None:
        """
        Act whenever something is due; return when nothing is due within ``quiet_s``. While another call stays for
        the same operation, that one looks again and this one returns at once.

        Args:
            next_due: the earliest moment something is due, past ones too; None for nothing. Asked again after every
                act and every poke.
            act: does all that is due now. May find it done, or locked, by another process.

        Raises:
            Whatever ``next_due`` and ``act`` raise; what is due is then left to the next poke or sweep.
        """
        poked = self._event(operation)
        if operation in self._staying:
            poked.set()
            return
        self._staying.add(operation)
        try:
            await self._stay(poked, next_due, act, timedelta(seconds=quiet_s))
        finally:
            self._staying.discard(operation)

    async def close(self) -> None:
        """Send everybody home."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stay(self, poked: asyncio.Event, next_due: NextDue, act: Act, quiet: timedelta) -> None:
        acted_on: datetime | None = None
        again_s = AGAIN_S
        while True:
            poked.clear()
            due = await next_due()
            left = due - self._clock.now() if due is not None else None
            if left is None or left > quiet:
                if poked.is_set():
                    continue
                return
            if left > timedelta(0):
                await self._wait(poked, left.total_seconds())
                if poked.is_set():
                    await self._wait(asyncio.Event(), GATHER_S)
            elif due != acted_on:
                acted_on, again_s = due, AGAIN_S
                await act()
            else:  # it stayed due
                acted_on = None
                await self._wait(poked, jittered(again_s))
                again_s = min(again_s * 2, AGAIN_MAX_S)

    async def _run(self, operation: str) -> None:
        poked, again_s = self._event(operation), AGAIN_S
        try:
            while poked.is_set():
                poked.clear()
                try:
                    await self._wakes[operation]()
                    again_s = AGAIN_S
                except Exception:
                    log.warning("%s failed while awake; again in %.0f s", operation, again_s, exc_info=True)
                    await self._wait(poked, jittered(again_s))
                    poked.set()
                    again_s = min(again_s * 2, AGAIN_MAX_S)
        finally:
            del self._tasks[operation]  # here, not later in a callback: a poke in between would be lost

    def _event(self, operation: str) -> asyncio.Event:
        return self._poked.setdefault(operation, asyncio.Event())
