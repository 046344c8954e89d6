"""
Runs one worker as a process for tests to kill: ``python -m tests.broker.worker_process DIR WORKER WORKERS``.

It writes its events into the table ``heard``, in the order of delivery.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from pulsecart.broker.local import LocalBroker
from pulsecart.runtime.deps import Deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import read
from pulsecart.serving.http import Reply

HEARD = (
    "CREATE TABLE IF NOT EXISTS heard (at bigint GENERATED ALWAYS AS IDENTITY, worker int, key text, sequence bigint)"
)


class Writer:
    """An operation that records its events."""

    def __init__(self, name: str, worker: int) -> None:
        self.dns_name = name
        self._worker = worker

    async def handle_event(self, event: CloudEvent, deps: Deps, path: str) -> Reply:
        async with deps.db.transaction() as tx:
            values: list[Any] = [self._worker, event.partitionkey, event.sequence]
            await tx.execute("INSERT INTO heard (worker, key, sequence) VALUES (%s, %s, %s)", values)
        return Reply(204)


async def main(directory: Path, worker: int, workers: int) -> None:
    deps = open_deps(read(os.environ))
    operations = {name: Writer(name, worker) for name in ("listener", "keep-dead-letter")}
    broker = LocalBroker(operations, directory, deps, worker, workers)  # type: ignore[arg-type]  # stand-ins
    await broker.start()
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
