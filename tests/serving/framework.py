"""Runs operations as ``functions-framework`` serves them, each in a process of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from pulsecart.admin.which_shop import ROOT
from tests.client import until
from tests.measured import MEASURED

COMMAND = str(Path(sys.executable).with_name("functions-framework"))
START_S = 30.0


class Served:
    """
    Args:
        environ: the process's own variables, beside PATH.
        log: file that gets what it says.
    """

    def __init__(self, operation: str, environ: Mapping[str, str], log: Path) -> None:
        self.operation = operation
        self.log = log
        self.port = _free_port()
        command = [COMMAND, "--source", f"functions/{operation}/main.py", "--target", operation]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **MEASURED, **environ},
                stdout=out,
                stderr=out,
                process_group=0,
            )
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    async def ready(self) -> None:
        """Wait for the port."""

        async def listens() -> bool:
            assert self.process.poll() is None, f"{self.operation} ended:\n{self.said}"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return False
            writer.close()
            return True

        await until(listens, START_S)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    async def stop(self) -> None:
        """End the process and its worker."""
        await self.http.aclose()
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, 5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
