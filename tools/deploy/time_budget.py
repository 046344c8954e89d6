"""Limits the total time that the cluster may take (--timeout), for all queries and waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIMEOUT_S = 600.0
LEAST_S = 0.05  # timeout of a query after the limit: too short for an answer


class TimeBudget:
    """
    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.begin(TIMEOUT_S)

    def begin(self, timeout_s: float) -> None:
        """Start the limit: ``timeout_s`` from now."""
        self.timeout_s = timeout_s
        self._until = self._now() + timeout_s

    @property
    def left_s(self) -> float:
        """The seconds left; negative after the limit."""
        return self._until - self._now()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude local work, such as a build, from the cluster's time."""
        began = self._now()
        try:
            yield
        finally:
            self._until += self._now() - began


time_budget = TimeBudget()
