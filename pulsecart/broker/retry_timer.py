"""Holds a trigger's events until their retry is due, with one timer for all of them."""

import asyncio
import heapq
from collections.abc import Callable

from pulsecart.broker.key_lanes import Entry


class Waits:
    """
    The events of one trigger that wait for a retry.

    Args:
        due: called with all events that are due, in the order of their due times.
    """

    def __init__(self, due: Callable[[list[Entry]], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, Entry]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, entry: Entry, delay_s: float) -> None:
        """Pass ``entry`` to ``due`` after ``delay_s`` seconds."""
        loop = asyncio.get_running_loop()
        heapq.heappush(self._heap, (loop.time() + delay_s, entry.position, entry))
        self._set_timer(loop)

    def close(self) -> None:
        """Stop calling ``due``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._heap[0][0], self._ring) if self._heap and not self._closed else None

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now, due = loop.time(), []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        self._set_timer(loop)
        self._due(due)
