"""
Provides redis-py's clients, whose errors leave them as ``pulsecart.runtime.redis_error``.

redis-py is imported without OpenTelemetry's SDK, which it imports wherever it is installed, for metrics that are not
used here; that doubles the import time. Only modules that use Redis import this one.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pulsecart.runtime.redis_error import RedisAway, RedisError, RedisRejected

_SDK = "opentelemetry"
_missing = _SDK not in sys.modules
if _missing:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # None makes Python raise ImportError

import redis as blocking  # noqa: E402
from redis import asyncio, exceptions  # noqa: E402

if _missing:
    del sys.modules[_SDK]

__all__ = ["Redis", "blocking", "error_of", "errors_translated", "new_redis", "script_error"]

CONNECTIONS = 16
TIMEOUT_S = 5.0
_OF_THE_COMMAND = ("ERR ", "WRONGTYPE ")  # Redis's prefixes for a rejected command; its own state has others


class _NoScript(RedisAway, exceptions.NoScriptError):
    """Redis has lost a script; redis-py catches its own error, and loads the script again."""


def error_of(error: exceptions.RedisError) -> RedisError:
    """Return our error for one of redis-py's."""
    if isinstance(error, exceptions.NoScriptError):
        return _NoScript(*error.args)
    rejected = isinstance(error, exceptions.ResponseError) and str(error).startswith(_OF_THE_COMMAND)
    return (RedisRejected if rejected or isinstance(error, exceptions.DataError) else RedisAway)(*error.args)


def script_error(text: str) -> RedisError:
    """Return our error for one that a script caught and returned as text."""
    return error_of(exceptions.ResponseError(text))


@contextmanager
def errors_translated() -> Iterator[None]:
    """Raise our errors in place of redis-py's, for its blocking client and its subscriptions."""
    try:
        yield
    except exceptions.RedisError as error:
        raise error_of(error) from error


class Pipeline(asyncio.client.Pipeline):
    """Raises RedisError."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return await super().execute(raise_on_error)
        except exceptions.RedisError as error:
            raise error_of(error) from error


class Redis(asyncio.Redis):
    """Raises RedisError from every command; from a subscription only within ``errors_translated``."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as redis-py has it
        except exceptions.RedisError as error:
            raise error_of(error) from error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def new_redis(url: str) -> Redis:
    """Create a client that connects at its first use; calls beyond CONNECTIONS wait instead of failing."""
    return Redis(
        connection_pool=asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
    )
