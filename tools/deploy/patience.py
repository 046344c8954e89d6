"""How long the cluster may take in all (--timeout): every question to it, and what it is waited for."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIMEOUT_S = 600.0
LEAST_S = 0.05  # when it is over: no answer comes in that time


class Patience:
    """
    Args:
        now: seconds of a clock that only goes on.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.begin(TIMEOUT_S)

    def begin(self, timeout_s: float) -> None:
        """``timeout_s`` from now on."""
        self.timeout_s = timeout_s
        self._until = self._now() + timeout_s

    @property
    def left_s(self) -> float:
        """What is left; negative when it is over."""
        return self._until - self._now()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done on this machine meanwhile, a build, is not the cluster's time."""
        began = self._now()
        try:
            yield
        finally:
            self._until += self._now() - began


patience = Patience()
