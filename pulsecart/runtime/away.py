"""Whether a failure says something of what a call depends on, or may be the fault of what it was given."""

import sys

from pulsecart.runtime.problem import Exhausted, Unavailable

_OF_THE_COMMAND = ("ERR ", "WRONGTYPE ")  # how Redis names a command that it refuses; its own state has other words


def is_away(error: BaseException) -> bool:
    """Whether something that every call needs is away, busy, or did not answer in time."""
    if isinstance(error, Exhausted):
        return False
    return isinstance(error, Unavailable | OSError) or is_redis_away(error)


def is_redis_away(error: BaseException) -> bool:
    """Whether Redis cannot be reached or cannot serve; False where it refused this command alone."""
    known = sys.modules.get("redis.exceptions")  # what nobody imported, nobody raised
    if known is None or not isinstance(error, known.RedisError) or isinstance(error, known.DataError):
        return False
    return not (isinstance(error, known.ResponseError) and str(error).startswith(_OF_THE_COMMAND))
