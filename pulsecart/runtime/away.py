"""Distinguishes failures of a dependency from failures that the call's own input may have caused."""

from pulsecart.runtime.problem import Exhausted, Unavailable
from pulsecart.runtime.redis_error import RedisAway


def is_away(error: BaseException) -> bool:
    """Return whether a dependency that every call needs is unreachable, busy, or did not answer in time."""
    if isinstance(error, Exhausted):
        return False
    return isinstance(error, Unavailable | OSError | RedisAway)
