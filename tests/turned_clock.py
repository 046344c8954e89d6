"""Provides a clock that tests turn: a wait takes no real time."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pulsecart.runtime.deps import Clock, Deps, open_deps
from pulsecart.runtime.settings import Settings
from pulsecart.runtime.wakeups import WakeUps

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class TurnedClock(Clock):
    """A clock that stands still until a test turns it; a wait turns it to the wait's end at once."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Replaces ``pulsecart.runtime.wakeups.wait_on``."""
        await asyncio.sleep(0)
        if not event.is_set():
            self.turn(seconds)


def turned_deps(settings: Settings, clock: TurnedClock) -> Deps:
    """Open the demo's Deps with ``clock`` as their time."""
    deps = open_deps(replace(settings, accept_unsigned_buyers=True), clock)
    deps.wake_ups = WakeUps(clock, clock.wait)
    return deps
