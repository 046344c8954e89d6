"""Publishes wake-ups to the other workers when the log has grown; their poll covers lost wake-ups."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pulsecart.runtime.backoff import jittered
from pulsecart.runtime.redis_client import errors_translated
from pulsecart.runtime.redis_error import RedisError

log = logging.getLogger(__name__)
CHANNEL = "log"
RECONNECT_S = 1.0


class WorkerWakeUps:
    """
    Sends wake-ups to the other workers over Redis, and receives theirs.

    Args:
        redis: a ``redis.asyncio.Redis``.
        on_wake_up: called for every wake-up from another worker.
    """

    def __init__(self, redis: Any, worker: int, on_wake_up: Callable[[], None]) -> None:
        self._redis = redis
        self._name = str(worker).encode()
        self._on_wake_up = on_wake_up
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Request a wake-up and return immediately; concurrent requests are sent as one."""
        self._rung.set()

    async def run(self) -> None:
        """Publish and receive wake-ups until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ring())
            group.create_task(self._listen())

    async def _ring(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            with suppress(RedisError, OSError):
                await self._redis.publish(CHANNEL, self._name)
            await asyncio.sleep(0.002)

    async def _listen(self) -> None:
        while True:
            try:
                with errors_translated():
                    async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                        await subscription.subscribe(CHANNEL)
                        while True:
                            message = await subscription.get_message(timeout=None)
                            if message is not None and message["data"] not in (self._name, self._name.decode()):
                                self._on_wake_up()
            except (RedisError, OSError) as error:
                log.debug("worker wake-ups do not work: %r", error)
                await asyncio.sleep(jittered(RECONNECT_S))
