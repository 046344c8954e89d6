"""
Runs scheduled work without a permanent process: the operation that commits due work wakes the one that handles it.

The woken operation stays awake until no work is due soon.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from pulsecart.runtime.backoff import Backoff, jittered

log = logging.getLogger(__name__)
WAKE_PATH = "/poke"  # POST here wakes an operation that is deployed on its own
QUIET_S = 60.0
GATHER_S = 0.1  # wake-ups within this time cause one query for due work
AGAIN = Backoff(1.0, 30.0)  # between two tries at due work; the first delay alone while it stays due, locked by others

NextDue = Callable[[], Awaitable[datetime | None]]
Act = Callable[[], Awaitable[None]]


class Clock(Protocol):
    def now(self) -> datetime: ...


async def wait_on(event: asyncio.Event, seconds: float) -> None:
    """Wait until ``event`` is set, at most ``seconds``."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


class WakeUps:
    """
    Wakes operations that have due work, and keeps at most one ``stay_awake`` per operation in this process.

    Args:
        clock: the clock that due times are compared with.
        wait: ``wait_on``; tests replace it by one that advances their clock.
        elsewhere: wakes an operation that runs in another process.
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
        self._woken: dict[str, asyncio.Event] = {}
        self._staying: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def register(self, operation: str, wake: Act) -> None:
        """Register ``wake`` as the function that a wake-up runs in this process; it should end in ``stay_awake``."""
        self._wakes[operation] = wake

    def knows(self, operation: str) -> bool:
        """Return whether ``operation`` is registered in this process."""
        return operation in self._wakes

    def wake(self, operation: str) -> None:
        """
        Wake ``operation``; returns without waiting.

        An operation that is already awake queries its due work again. One not registered here is woken through
        ``elsewhere``; without that, its periodic sweep finds the due work.
        """
        self._event(operation).set()
        if self.awake(operation):
            return
        if operation in self._wakes:
            self._tasks[operation] = asyncio.get_running_loop().create_task(self._run(operation))
        elif self._elsewhere is not None:
            self._elsewhere(operation)

    def awake(self, operation: str) -> bool:
        """Return whether ``operation`` is awake in this process."""
        return operation in self._staying or operation in self._tasks

    def stays(self, operation: str) -> bool:
        """Return whether a call of ``stay_awake`` for ``operation`` is running in this process."""
        return operation in self._staying

    async def stay_awake(
        self,
        operation: str,
        next_due: NextDue,
        act: Act,
        quiet_s: float = QUIET_S,
        *,
        busy: Callable[[], bool] = lambda: False,
        gather_s: float = GATHER_S,
    ) -> None:
        """
        Call ``act`` whenever work is due; return when no work is due within ``quiet_s``.

        If another call already stays for the operation, that call queries its due work again and this one returns.

        Args:
            next_due: returns the earliest due time, which may be past; None if no work is scheduled. Called again
                after every ``act`` and every wake-up.
            act: does all work due now. Another process may already have done or locked that work.
            busy: returns whether work that ``act`` started is in flight; each end of such work wakes the operation,
                which stays awake until then.
            gather_s: wake-ups within this time cause one query for due work.

        Raises:
            Exception: any error of ``next_due`` or ``act``; the due work then waits for the next wake-up or sweep.
        """
        woken = self._event(operation)
        if operation in self._staying:
            woken.set()
            return
        self._staying.add(operation)
        try:
            await self._stay(woken, next_due, act, timedelta(seconds=quiet_s), busy, gather_s)
        finally:
            self._staying.discard(operation)

    async def close(self) -> None:
        """Cancel every operation that is awake, and wait until it has ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stay(
        self,
        woken: asyncio.Event,
        next_due: NextDue,
        act: Act,
        quiet: timedelta,
        busy: Callable[[], bool],
        gather_s: float,
    ) -> None:
        acted_on: datetime | None = None
        while True:
            if woken.is_set():  # whatever kept work due may have ended
                acted_on = None
            woken.clear()
            due = await next_due()
            left = due - self._clock.now() if due is not None else None
            if left is None or left > quiet:
                if woken.is_set():
                    continue
                if not busy():
                    return
                left = quiet
            wait = wait_on if busy() else self._wait  # work in flight takes real time, also where tests turn the clock
            if left > timedelta(0):
                await wait(woken, left.total_seconds())
                if woken.is_set():
                    await wait(asyncio.Event(), gather_s)
            elif due != acted_on:
                acted_on = due
                await act()
            else:  # it stayed due
                acted_on = None
                await wait(woken, jittered(AGAIN.first_s))

    async def _run(self, operation: str) -> None:
        woken, failures = self._event(operation), 0
        try:
            while woken.is_set():
                woken.clear()
                try:
                    await self._wakes[operation]()
                    failures = 0
                except Exception:
                    failures += 1
                    delay_s = AGAIN.after(failures)
                    log.warning("%s failed while awake; retry in %.0f s", operation, delay_s, exc_info=True)
                    await self._wait(woken, jittered(delay_s))
                    woken.set()
        finally:
            del self._tasks[operation]  # not in a done callback: a wake-up before it would be lost

    def _event(self, operation: str) -> asyncio.Event:
        return self._woken.setdefault(operation, asyncio.Event())
