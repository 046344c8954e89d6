"""A value that is read once for all who ask, and again when it is older than it may be."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """
    Args:
        read: answers the value as it is now; what it raises is raised to all who wait for it, and is not kept.
        keep_s: how old a value may be, counted from when its reading began; 0: what is being read is shared, no more.
    """

    def __init__(self, read: Callable[[], Awaitable[Value]], keep_s: float) -> None:
        self._read = read
        self._keep_s = keep_s
        self._reading: asyncio.Task[Value] | None = None
        self._until_s = 0.0

    async def get(self) -> Value:
        """The value; who stops waiting ends nobody else's reading."""
        loop = asyncio.get_running_loop()
        task = self._reading
        if task is None or (task.done() and (loop.time() >= self._until_s or _failed(task))):
            self._until_s = loop.time() + self._keep_s
            task = self._reading = loop.create_task(self._begin(), context=Context())  # it is nobody's request
        return await asyncio.shield(task)

    async def _begin(self) -> Value:
        return await self._read()


def _failed(task: "asyncio.Task[Value]") -> bool:
    return task.cancelled() or task.exception() is not None
