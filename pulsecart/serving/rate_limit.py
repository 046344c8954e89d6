"""Limits requests per caller and route, counted in this process and reported in RateLimit headers (IETF draft)."""

import math

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import TooMany
from pulsecart.serving.http import Request

CALLERS_MAX = 50_000  # counted per route, some 8 MB; beyond it, all counts restart at 0


class Allowance:
    """
    Grants each address a quota per window; all addresses share the window's end. One per process.

    Args:
        quota: grants per address and window.
        window_s: length of the window, after which all counts restart at 0.
    """

    def __init__(self, quota: int, window_s: float) -> None:
        self._quota = quota
        self._window_s = window_s
        self._until_s = 0.0
        self._counts: dict[str, int] = {}

    def take(self, caller: str, now_s: float) -> int:
        """Take one from the quota and return 0; if none is left, return the seconds until the window ends."""
        if now_s >= self._until_s or len(self._counts) >= CALLERS_MAX:
            self._until_s = (now_s // self._window_s + 1) * self._window_s
            self._counts.clear()
        count = self._counts.get(caller, 0)
        if count >= self._quota:
            return max(1, math.ceil(self._until_s - now_s))
        self._counts[caller] = count + 1
        return 0


class Limits:
    """
    Permits RATE_LIMIT requests per caller and route in each window of RATE_LIMIT_WINDOW_S, which all callers share.
    Each process counts on its own, so that no reply waits for another process.
    """

    def __init__(self, deps: Deps) -> None:
        self._quota = deps.settings.rate_limit
        self._window_s = deps.settings.rate_limit_window_s
        self._policy = ("ratelimit-policy", f'"caller";q={self._quota};w={self._window_s:.0f}')
        self._until_s = 0.0
        self._counts: dict[int, dict[str, int]] = {}

    def count(self, request: Request, caller: str, now_s: float) -> None:
        """
        Count a request; its reply's headers report how many are left.

        Raises:
            TooMany: the caller has used up its requests.
        """
        if not self._quota:
            return
        if now_s >= self._until_s:
            self._until_s = (now_s // self._window_s + 1) * self._window_s
            self._counts.clear()
        counts = self._counts.get(request.route)
        if counts is None:
            counts = self._counts[request.route] = {}
        count = counts.get(caller, 0) + 1
        if count == 1 and len(counts) >= CALLERS_MAX:
            counts.clear()
        counts[caller] = count
        left, wait_s = max(0, self._quota - count), math.ceil(self._until_s - now_s)
        request.reply_headers = (self._policy, ("ratelimit", f'"caller";r={left};t={wait_s}'))
        if count > self._quota:
            each = f"{self._quota} times in {self._window_s:.0f} s"
            raise TooMany("rate-limited", f"One caller may send this request {each}. Try again in {wait_s} s.", wait_s)
