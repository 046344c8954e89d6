"""Starts a whole shop for a benchmark, with ``scripts/up`` as a user does."""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from benchmarks.sides import Side, purchases
from pulsecart.admin.which_shop import ROOT, running
from tools.crowd.ask import NotThere, ask
from tools.crowd.running import Running, find

READY_WITHIN_S = 60.0
DRAINED_WITHIN_S = 300.0
PLENTY = 10_000_000


class NotReady(Exception):
    """The shop did not start, or did not finish its work."""


def started_by(checkout: Path) -> str:
    """Return the module that ``scripts/up`` of this checkout runs: older checkouts have another name for it."""
    script = (checkout / "scripts" / "up").read_text()
    found = re.search(r'/python" -m (\S+)', script)
    if found is None:
        raise NotReady(f"scripts/up of {checkout} starts no Python module:\n{script}")
    return found[1]


@contextmanager
def shop(workers: int = 1, code: Path | None = None) -> Iterator[tuple[Running, Path]]:
    """Start a shop of this code, or of another checkout; yield it and its data directory; remove both afterwards."""
    with tempfile.TemporaryDirectory(prefix="pulsecart-bench-") as directory:
        data = Path(directory) / "data"
        command = [sys.executable, "-m", started_by(code or ROOT), "--port", "0", "--data", str(data)]
        command += ["--workers", str(workers)]
        with (
            (Path(directory) / "log").open("w+") as log,
            subprocess.Popen(command, stdout=log, stderr=log, cwd=code) as process,
        ):
            try:
                yield _ready(data, process, Path(log.name)), data
            finally:
                process.terminate()


def _ready(data: Path, process: "subprocess.Popen[bytes]", log: Path) -> Running:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        run = running(data)
        if run and run["ready"]:
            return find(data)
        time.sleep(0.02)
    raise NotReady(f"the shop did not start:\n{log.read_text()}")


async def drained(url: str) -> None:
    """
    Return when every event has been processed.

    Raises:
        NotReady: it did not happen within DRAINED_WITHIN_S.
    """
    async with asyncio.timeout(DRAINED_WITHIN_S):
        while True:
            try:
                status, result = await ask(url, "GET", "/api/v1/async/queue/status")
            except NotThere:
                status, result = 0, None
            if status == 200 and not result["pending"] and not sum(result["lag"].values()):
                return
            await asyncio.sleep(0.2)


def whole(*, stock: int, path: str = "sync") -> Callable[[], AbstractAsyncContextManager[Side]]:
    """Return the side of a whole host, one worker, its broker; a turn begins when the log was read to its end."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Side]:
        with shop() as (running, _):
            url = running.url
            await ask(url, "PUT", f"/api/v1/sync/stock/1/reset?stock={stock}")
            what, status = ("sold out", 409) if stock == 0 else ("winning", 200)
            if path == "async":
                what, status = "accepting", 202
            request = purchases(url, path=f"/api/v1/{path}/purchase")
            yield Side(f"whole shop, {what}", url, status, request, running.processes, after=lambda: drained(url))

    return opened
