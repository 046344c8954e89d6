"""Distinguishes failures of a dependency from failures that the call's own input may have caused."""

import sys

from pulsecart.runtime.problem import Exhausted, Unavailable

_OF_THE_COMMAND = ("ERR ", "WRONGTYPE ")  # Redis's prefixes for a rejected command; its own state has others


def is_away(error: BaseException) -> bool:
    """Return whether a dependency that every call needs is unreachable, busy, or did not answer in time."""
    if isinstance(error, Exhausted):
        return False
    return isinstance(error, Unavailable | OSError) or is_redis_away(error)


def is_redis_away(error: BaseException) -> bool:
    """Return whether Redis is unreachable or unable to serve; False if it rejected only this command."""
    known = sys.modules.get("redis.exceptions")  # a module not imported raised nothing
    if known is None or not isinstance(error, known.RedisError) or isinstance(error, known.DataError):
        return False
    return not (isinstance(error, known.ResponseError) and str(error).startswith(_OF_THE_COMMAND))
