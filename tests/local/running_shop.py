"""Runs a whole shop as a process, for tests that kill, restart or visit it."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pulsecart.admin.which_shop import ROOT, running

START_S = 40.0


def eventually(condition: Callable[[], object], what: str, within_s: float = 20.0) -> None:
    """Wait for a condition; fail with ``what`` if it does not become true in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.01)


class RunningShop:
    """
    Runs ``python -m pulsecart.local.up`` on a free port.

    Args:
        data: its data directory; its output goes to ``<data>.log``.
        environ: variables beside this process's own; DATABASE_URL and REDIS_URL of this process are not passed on.
    """

    def __init__(
        self, data: Path, *, port: int = 0, workers: int = 1, environ: Mapping[str, str] | None = None
    ) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        clean = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pulsecart.local.up",
            "--data",
            data,
            "--port",
            str(port),
            "--workers",
            str(workers),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**clean, **(environ or {})}, stdout=log, stderr=log, process_group=0
            )

    def wait_ready(self) -> Self:
        eventually(lambda: self.process.poll() is not None or self.run.get("ready"), "the shop is ready", START_S)
        assert self.process.poll() is None, f"the shop ended while starting:\n{self.said}"
        return self

    @property
    def run(self) -> dict[str, Any]:
        """Return run.json as it is now, ``{}`` if there is none; see pulsecart.admin.which_shop.running."""
        return running(self.data) or {}

    @property
    def url(self) -> str:
        return str(self.run["url"])

    @property
    def database_url(self) -> str:
        return str(self.run["database_url"])

    @property
    def redis_url(self) -> str:
        return str(self.run["redis_url"])

    @property
    def said(self) -> str:
        """Return the complete output of the process and its workers."""
        return self.log.read_text(errors="replace")

    @property
    def pids(self) -> dict[str, int]:
        """Return ``{"host": …, "postgres": …, "valkey": …}``, workers after the first as ``host1``, …"""
        run = self.run
        workers = {f"host{w['worker'] or ''}": int(w["pid"]) for w in run["workers"]}
        return workers | {"postgres": int(run["postgres_pid"]), "valkey": int(run["valkey_pid"])}

    def get(self, path: str) -> int:
        """Return the status of a GET; 0 without an answer."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=5)) as asking:
            try:
                asking.request("GET", path)
                return asking.getresponse().status
            except (OSError, http.client.HTTPException):
                return 0

    def kill(self, name: str) -> None:
        """Kill one of ``pids`` (SIGKILL), and wait until its replacement runs."""
        killed = self.pids[name]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: self.pids.get(name, killed) != killed, f"{name} was restarted")

    def stop(self, how: signal.Signals = signal.SIGINT, within_s: float = 30.0) -> int:
        """Stop the shop; return its exit status, negative if a signal ended it, or if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
