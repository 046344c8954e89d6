"""A log to write to, and brokers that are stopped after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pulsecart.broker.local import LocalBroker
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.broker.stage import Listener, Log, manifests

Start = Callable[..., Awaitable[LocalBroker]]


@pytest.fixture
def log(database_url: str) -> Log:
    return Log(database_url)


@pytest.fixture
async def bare(settings: Settings) -> AsyncIterator[Deps]:
    """Provide Deps on a database without goods or events."""
    opened = open_deps(settings)
    yield opened
    await close_deps(opened)


@pytest.fixture
async def start(bare: Deps, log: Log, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a broker for listeners and documents; an idle ``keep-dead-letter`` is added where none is given."""
    started: list[LocalBroker] = []

    async def begin(
        *documents: str, to: list[Listener], worker: int = 0, workers: int = 1, **options: Any
    ) -> LocalBroker:
        operations = {listener.dns_name: listener for listener in to}
        operations.setdefault("keep-dead-letter", Listener("keep-dead-letter"))
        directory = manifests(tmp_path / "eventing", *documents)
        options.setdefault("validate", lambda event: None)
        broker = LocalBroker(operations, directory, bare, worker, workers, **options)  # type: ignore[arg-type]  # listeners
        await broker.start()
        started.append(broker)
        names = [trigger.name for trigger in broker.eventing.triggers]
        await log.until(f"SELECT count(*) FROM trigger_cursors WHERE trigger = ANY(ARRAY{names}::text[])", len(names))
        log.on_commit = broker.wake
        return broker

    yield begin
    for broker in started:
        await broker.stop()
