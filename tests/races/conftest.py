"""Provides two workers on one shop, leases short enough for a test, and servers whose connections can be cut."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.client import Client
from tests.contracts.emitted import _contractual_outbox
from tests.races.books import Books
from tests.races.proxy import Proxy

__all__ = ["_contractual_outbox"]
LEASE_S = 0.3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, lease_s=LEASE_S)


@pytest.fixture
async def awake(deps: Deps) -> AsyncIterator[None]:
    """Keep ``settle`` and ``expire`` awake after a wake-up, as in a host."""
    for operation in Client(deps).operations.values():
        if operation.wake is not None:
            own = deps.share(operation.name)
            deps.wake_ups.register(operation.name, lambda wake=operation.wake, own=own: wake(own))  # type: ignore[misc]
    yield
    await deps.wake_ups.close()


@pytest.fixture
async def other(deps: Deps) -> AsyncIterator[Client]:
    """Provide a second worker: its own till, memory and connections."""
    opened = open_deps(deps.settings)
    yield Client(opened)
    await close_deps(opened)


@pytest.fixture
def books(client: Client) -> Books:
    return Books(client)


@pytest.fixture
async def cut_database(deps: Deps, settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Client, Proxy]]:
    """Provide a worker that reaches PostgreSQL through a proxy, which can cut the connection."""
    async with Proxy.of_postgresql(settings.database_url, tmp_path) as proxy:
        opened = open_deps(replace(deps.settings, database_url=proxy.url))
        yield Client(opened), proxy
        await close_deps(opened)


@pytest.fixture
async def cut_gate(deps: Deps, settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Client, Proxy]]:
    """Provide a worker that reaches Redis through a proxy, which can cut the connection."""
    async with Proxy.of_redis(settings.redis_url, tmp_path) as proxy:
        opened = open_deps(replace(deps.settings, redis_url=proxy.url))
        yield Client(opened), proxy
        await close_deps(opened)
