"""Defines the errors that Redis causes; redis-py's own ones end in ``pulsecart.runtime.redis_client``."""


class RedisError(Exception):
    """Redis did not execute a command, or did not report it: it may still have been executed."""


class RedisAway(RedisError):
    """Redis is unreachable or unable to serve."""


class RedisRejected(RedisError):
    """Redis rejected this command only."""
