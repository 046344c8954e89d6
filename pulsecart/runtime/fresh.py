"""Caches a value that concurrent callers share, and reads it again when it has expired."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """
    Shares one in-flight read between concurrent callers, and caches its value for ``keep_s``.

    Args:
        read: reads the current value; its errors are raised to all waiting callers and are not cached.
        keep_s: maximum age of a value, counted from the start of its read; 0: share in-flight reads, cache nothing.
    """

    def __init__(self, read: Callable[[], Awaitable[Value]], keep_s: float) -> None:
        self._read = read
        self._keep_s = keep_s
        self._reading: asyncio.Task[Value] | None = None
        self._until_s = 0.0

    async def get(self) -> Value:
        """Return the value; a caller's cancellation does not end the read for the others."""
        loop = asyncio.get_running_loop()
        task = self._reading
        if task is None or (task.done() and (loop.time() >= self._until_s or _failed(task))):
            self._until_s = loop.time() + self._keep_s
            task = self._reading = loop.create_task(self._begin(), context=Context())  # shared by requests
        return await asyncio.shield(task)

    async def _begin(self) -> Value:
        return await self._read()


def _failed(task: "asyncio.Task[Value]") -> bool:
    return task.cancelled() or task.exception() is not None
