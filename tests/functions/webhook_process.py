"""A process of webhook_deliver that ends itself, as by kill -9, at a step of its work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from typing import Any

from functions.webhook_deliver.retention import Retention
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.settings import Settings
from tests.functions import webhook_stage


def forks() -> ForkServerContext:
    """Processes that have this module loaded when they start."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def work(settings: Settings, ahead: timedelta, last_step: int) -> None:
    """Send what is due, and be killed at a step: before each statement, after each commit, around each request."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    _interrupt(step)
    asyncio.run(_work(settings, ahead))


async def _work(settings: Settings, ahead: timedelta) -> None:
    async with webhook_stage.running_stage(settings, ahead) as stage:
        await stage.work()


def _interrupt(step: Any) -> None:
    execute, transaction, send = Tx.execute, Database.transaction, OutgoingHttp.send

    async def stepping_execute(self: Tx, *given: Any) -> Any:
        step()
        return await execute(self, *given)

    @asynccontextmanager
    async def stepping_transaction(self: Database, *given: Any, **named: Any) -> AsyncIterator[Tx]:
        async with transaction(self, *given, **named) as tx:
            yield tx
        step()

    async def stepping_send(self: OutgoingHttp, *given: Any, **named: Any) -> Any:
        step()
        answer = await send(self, *given, **named)
        step()
        return answer

    # Checks of old messages run beside the sending, so that their steps have no order in it.
    Retention.start = lambda *_given: None  # type: ignore[method-assign]  # in this process alone
    Tx.execute = stepping_execute  # type: ignore[method-assign, assignment]  # in this process alone
    Database.transaction = stepping_transaction  # type: ignore[method-assign]  # as above
    OutgoingHttp.send = stepping_send  # type: ignore[method-assign]  # as above
