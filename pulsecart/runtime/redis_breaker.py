"""
Redis, asked for copies of what PostgreSQL knows as well: briefly, and for a while not at all once it kept silent.

A Redis that is away says so at once; one that hangs would hold each reader for its whole timeout.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.redis_client import RedisError

T = TypeVar("T")
log = logging.getLogger(__name__)
LOOK_S = 0.25  # a look takes a millisecond or two, and tens where this process is busy
SILENT_S = 1.0  # from one try to the next


class Silent(RedisError):
    """Redis gave no answer within LOOK_S, just now or within the last SILENT_S: ask PostgreSQL."""


class Breaker:
    """One per process, for all its copies; made with ``deps.one(Breaker)``."""

    def __init__(self, _deps: Deps) -> None:
        self._silent_until = 0.0
        self._warned = False

    async def ask(self, look: Callable[[], Awaitable[T]]) -> T:
        """
        What ``look`` answers; while Redis is silent one of those who ask tries it, and the others are told at once.

        Raises:
            Silent: and ``look``, if it was begun, may have been carried out.
            RedisError: Redis is away.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until:
            raise Silent("Redis is silent")
        if self._silent_until:
            self._silent_until = loop.time() + SILENT_S
        try:
            async with asyncio.timeout(LOOK_S):
                answer = await look()
        except TimeoutError:
            self._log()
            self._silent_until = loop.time() + SILENT_S
            raise Silent("Redis is silent") from None
        except RedisError:
            self._silent_until = 0.0
            raise
        self._silent_until, self._warned = 0.0, False
        return answer

    def _log(self) -> None:
        """A first silence may be this process's own, without a processor for a moment; a second in a row is Redis's."""
        if not self._silent_until:
            log.info("Redis gave no answer within %.2f s: PostgreSQL is asked for what it has copies of", LOOK_S)
        elif not self._warned:
            self._warned = True
            log.warning("Redis is silent: PostgreSQL is asked for what it has copies of")
