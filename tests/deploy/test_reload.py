"""What Tilt runs in a pod: a saved file is served, by a process that outlives mistakes."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from pulsecart.processes.reload import ROOMS
from tools.operations_table import ROOT

WITHIN_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def started(directory: Path, port: int) -> "subprocess.Popen[bytes]":
    nowhere = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "redis://127.0.0.1:1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pulsecart.processes.reload", "stock", "--port", str(port)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), **nowhere},
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, httpx.AsyncClient]]:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    process = started(tmp_path, port)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await answers(client, "UP", WITHIN_S)
            yield tmp_path, client
    finally:
        process.terminate()
        assert process.wait(10) == 0


async def answers(client: httpx.AsyncClient, wanted: str, within_s: float) -> None:
    """Wait until /healthz says ``wanted``."""
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


async def test_a_saved_file_is_served(served: tuple[Path, httpx.AsyncClient]) -> None:
    directory, client = served
    save(directory, '"UP"', '"ANEW"')
    await answers(client, "ANEW", WITHIN_S)


async def test_a_mistake_is_survived_until_the_file_is_saved_again(served: tuple[Path, httpx.AsyncClient]) -> None:
    directory, client = served
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
