"""
Reads cached copies of PostgreSQL's data from Redis through a circuit breaker, with a short timeout.

An unreachable Redis fails at once; a Redis that hangs would block each reader for the client's whole timeout.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.redis_error import RedisAway, RedisError

T = TypeVar("T")
log = logging.getLogger(__name__)
LOOK_S = 0.25  # a look-up takes 1 to 2 ms, and tens of ms if this process is busy
SILENT_S = 1.0  # pause between two tries while Redis is silent


class Silent(RedisAway):
    """Redis did not answer within LOOK_S, now or in the last SILENT_S; the caller must query PostgreSQL."""


class Breaker:
    """Guards all cache look-ups of a process; one instance, created with ``deps.singleton(Breaker)``."""

    def __init__(self, _deps: Deps) -> None:
        self._silent_until = 0.0
        self._warned = False

    async def ask(self, look: Callable[[], Awaitable[T]]) -> T:
        """
        Return the result of ``look``; while Redis is silent, one call per SILENT_S tries it and others fail at once.

        Raises:
            Silent: Redis did not answer; if ``look`` was started, Redis may have executed it.
            RedisError: Redis is unreachable.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until:
            raise Silent("Redis does not answer")
        if self._silent_until:
            self._silent_until = loop.time() + SILENT_S
        try:
            async with asyncio.timeout(LOOK_S):
                answer = await look()
        except TimeoutError:
            self._log()
            self._silent_until = loop.time() + SILENT_S
            raise Silent("Redis does not answer") from None
        except RedisError:
            self._silent_until = 0.0
            raise
        self._silent_until, self._warned = 0.0, False
        return answer

    def _log(self) -> None:
        """Log a timeout: the first may be due to lack of CPU in this process; a second in a row is Redis's fault."""
        if not self._silent_until:
            log.info("Redis did not answer within %.2f s: cached data is read from PostgreSQL", LOOK_S)
        elif not self._warned:
            self._warned = True
            log.warning("Redis does not answer: cached data is read from PostgreSQL")
