"""Starts the tasks of a dispatcher's session, and closes the session's triggers as soon as one of them fails."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


def spawner(group: asyncio.TaskGroup, close: Callable[[], None]) -> Spawn:
    """
    Return a function that starts tasks of this session in ``group``.

    The first task that fails ends the session; its connection closes and releases the locks. No delivery may start
    after that, although retry timers can still fire until all tasks are cancelled: ``close`` prevents it.
    """

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            close()

    def spawn(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = group.create_task(work)
        task.add_done_callback(ended)
        return task

    return spawn
