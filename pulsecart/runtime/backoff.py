"""Computes the delays between retries; calls that failed together are spread, so that they do not retry together."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import uniform

MORE = 0.5
DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double with each failure, from ``first_s`` up to ``max_s``."""

    first_s: float
    max_s: float = inf

    def after(self, failures: int) -> float:
        """Return the delay in seconds after so many failures in a row; 0 after none."""
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, DOUBLINGS_MAX)) if failures else 0.0

    def jittered_after(self, failures: int) -> float:
        """Return the delay after so many failures, up to half as long again."""
        return jittered(self.after(failures))


def jittered(seconds: float, random: Callable[[float, float], float] = uniform) -> float:
    """Return a random delay of ``seconds`` to 1.5 × ``seconds``: never shorter than requested."""
    return seconds * random(1.0, 1.0 + MORE)
