"""How often one caller may ask one route: counted in this process, told in RateLimit headers (IETF's draft)."""

import math

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import TooMany
from pulsecart.serving.http import Request

CALLERS_MAX = 50_000  # remembered per route, some 8 MB; then all are counted anew


class Allowance:
    """
    So many per address in each window; windows end for everybody at once. One per process.

    Args:
        window_s: at its end all begin at 0 again.
    """

    def __init__(self, quota: int, window_s: float) -> None:
        self._quota = quota
        self._window_s = window_s
        self._until_s = 0.0
        self._counts: dict[str, int] = {}

    def take(self, who: str, now_s: float) -> int:
        """Seconds to wait until one is left; 0 where one was, and is taken."""
        if now_s >= self._until_s or len(self._counts) >= CALLERS_MAX:
            self._until_s = (now_s // self._window_s + 1) * self._window_s
            self._counts.clear()
        count = self._counts.get(who, 0)
        if count >= self._quota:
            return max(1, math.ceil(self._until_s - now_s))
        self._counts[who] = count + 1
        return 0


class Limits:
    """
    RATE_LIMIT requests per caller and route in each window of RATE_LIMIT_WINDOW_S; windows end for everybody at once.
    One per process: no answer waits for another process to count.
    """

    def __init__(self, deps: Deps) -> None:
        self._quota = deps.settings.rate_limit
        self._window_s = deps.settings.rate_limit_window_s
        self._policy = ("ratelimit-policy", f'"caller";q={self._quota};w={self._window_s:.0f}')
        self._until_s = 0.0
        self._counts: dict[int, dict[str, int]] = {}

    def count(self, request: Request, who: str, now_s: float) -> None:
        """
        One more; the reply will say how many are left.

        Raises:
            TooMany: none was left.
        """
        if not self._quota:
            return
        if now_s >= self._until_s:
            self._until_s = (now_s // self._window_s + 1) * self._window_s
            self._counts.clear()
        counts = self._counts.get(request.route)
        if counts is None:
            counts = self._counts[request.route] = {}
        count = counts.get(who, 0) + 1
        if count == 1 and len(counts) >= CALLERS_MAX:
            counts.clear()
        counts[who] = count
        left, wait_s = max(0, self._quota - count), math.ceil(self._until_s - now_s)
        request.told = (self._policy, ("ratelimit", f'"caller";r={left};t={wait_s}'))
        if count > self._quota:
            each = f"{self._quota} times in {self._window_s:.0f} s"
            raise TooMany("rate-limited", f"One caller may ask this {each}; come again in {wait_s} s.", wait_s)
