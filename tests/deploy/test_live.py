"""The process that Tilt runs in a pod serves each saved file, and survives files with errors."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import httpx
import pytest

from benchmarks.live_update import ROOMS, live, watcher
from benchmarks.operation_start import free_port
from tools.operations_table import ROOT

WITHIN_S = 20.0


class Served(NamedTuple):
    """
    Args:
        process: the container's first.
    """

    directory: Path
    client: httpx.AsyncClient
    process: "subprocess.Popen[bytes]"

    def child(self) -> str | None:
        """Return the pid of the process that runs the operation; None between two."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return found[-1] if found else None


@pytest.fixture(scope="module")
def packages(pytestconfig: pytest.Config) -> Path:
    return watcher(pytestconfig.cache.mkdir("live"))


@pytest.fixture
async def served(tmp_path: Path, packages: Path) -> AsyncIterator[Served]:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    process = live(tmp_path, packages, "stock", "--port", str(port))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await answers(client, "UP", WITHIN_S)
            yield Served(tmp_path, client, process)
    finally:
        process.terminate()
        assert process.wait(10) == 0


async def answers(client: httpx.AsyncClient, wanted: str, within_s: float) -> None:
    """Wait until /healthz answers ``wanted``."""
    began = monotonic()
    while True:
        try:
            if wanted in (await client.get("/healthz")).text:
                return
        except httpx.TransportError:
            pass
        assert monotonic() - began < within_s, f"/healthz never said {wanted}"
        await asyncio.sleep(0.02)


def save(directory: Path, old: str, new: str) -> None:
    path = directory / "pulsecart" / "processes" / "function.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def test_a_saved_file_is_served(served: Served) -> None:
    directory, client = served.directory, served.client
    save(directory, '"UP"', '"ANEW"')
    await answers(client, "ANEW", WITHIN_S)


async def test_a_mistake_is_survived_until_the_file_is_saved_again(served: Served) -> None:
    directory, client = served.directory, served.client
    save(directory, '"UP"', '"ANEW" this is no Python')
    while True:
        try:
            await client.get("/healthz")
        except httpx.ConnectError:
            break
        except httpx.TransportError:  # cut off in the middle: the process is ending
            pass
        await asyncio.sleep(0.02)
    save(directory, '"ANEW" this is no Python', '"MENDED"')
    await answers(client, "MENDED", WITHIN_S)


async def test_a_saved_manifest_restarts_the_operation(served: Served) -> None:
    before = served.child()
    path = served.directory / "eventing" / "pay.yaml"
    path.write_text(path.read_text() + "\n")
    async with asyncio.timeout(WITHIN_S):
        while served.child() in (None, before):  # noqa: ASYNC110  # no event reports a new process
            await asyncio.sleep(0.02)
    await answers(served.client, "UP", WITHIN_S)


async def test_the_operation_ends_with_the_container(served: Served) -> None:
    served.process.terminate()
    assert served.process.wait(10) == 0
    with pytest.raises(httpx.ConnectError):
        await served.client.get("/healthz")
