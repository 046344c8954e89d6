"""Provides a scenario with a shop: its steps are coroutines of one event loop, in which the broker works meanwhile."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import pytest

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.contracts.emitted import _contractual_outbox
from tests.flows.hands import Hands
from tests.flows.small_shop import SmallShop, opened
from tests.turned_clock import TurnedClock

__all__ = ["_contractual_outbox"]
CONNECTIONS = 16  # of a host


def awaited(step: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Wrap a step that is a coroutine; pytest-bdd calls functions only."""

    @wraps(step)
    def run(runner: asyncio.Runner, **given: Any) -> Any:
        return runner.run(step(**given))

    parameters = inspect.signature(step).parameters.values()
    first = inspect.Parameter("runner", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]  # what pytest-bdd reads
    return run


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def shop(runner: asyncio.Runner, settings: Settings) -> Iterator[SmallShop]:
    """Provide the whole shop, with the demo's goods."""
    playing = _playing(settings)
    yield runner.run(playing.__aenter__())
    runner.run(playing.__aexit__(None, None, None))


@asynccontextmanager
async def _playing(settings: Settings) -> AsyncIterator[SmallShop]:
    clock = TurnedClock(datetime.now(UTC))
    await load_catalogue(settings.database_url, GOODS, SALE, clock.now() - timedelta(minutes=1))
    deps = open_deps(replace(settings, accept_unsigned_buyers=True, pool_max=CONNECTIONS), clock)
    try:
        async with opened(deps, clock, Hands()) as shop:
            yield shop
    finally:
        await close_deps(deps)
