"""Provides a shop whose clock the test turns: import both fixtures."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps
from pulsecart.runtime.settings import Settings
from tests.turned_clock import START, TurnedClock, turned_deps


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def deps(settings: Settings, clock: TurnedClock) -> AsyncIterator[Deps]:
    await load_catalogue(settings.database_url, GOODS, SALE, START - timedelta(minutes=1))
    opened = turned_deps(settings, clock)
    yield opened
    await close_deps(opened)
