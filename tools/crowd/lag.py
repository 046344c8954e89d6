"""Measures how late the load generator's event loop is, which it adds to the waiting times that it measures."""

import asyncio
from array import array

LOOK_EVERY_S = 0.02


class Lag:
    """``late_s`` has a sample every LOOK_EVERY_S from ``start`` to ``stop``: the seconds by which a timer was late."""

    def __init__(self) -> None:
        self.late_s: array[float] = array("d")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wait(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + LOOK_EVERY_S
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.late_s.append(loop.time() - due)
        self._wait(loop)
