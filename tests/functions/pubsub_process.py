"""Runs the local broker with pubsub_publish as a process for tests to kill: settings come from the environment."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from pulsecart.broker.local import LocalBroker
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.processes import registry
from pulsecart.runtime.deps import open_deps
from pulsecart.runtime.settings import read

NAMES = ("pubsub_publish", "keep_dead_letter")


def wire(directory: Path) -> Path:
    """Write the manifests of the Broker and of the one Trigger."""
    directory.mkdir(exist_ok=True)
    for path in (EVENTING_DIR / "broker.yaml", EVENTING_DIR / "pubsub" / "pubsub-publish.yaml"):
        shutil.copy(path, directory)
    return directory


async def main(directory: Path) -> None:
    deps = open_deps(read(os.environ))
    broker = LocalBroker({name: registry.load(name) for name in NAMES}, directory, deps)
    await broker.start()
    await broker.ready()
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(wire(Path(sys.argv[1]))))
