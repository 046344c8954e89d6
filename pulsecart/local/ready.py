"""Waits until a started server is ready."""

import subprocess
import time
from pathlib import Path
from typing import Protocol

from pulsecart.local.cannot_start import why
from pulsecart.local.child import POLL_S, Pause


class Starting(Protocol):
    log: Path
    process: subprocess.Popen[bytes] | None

    def is_ready(self) -> bool: ...


def wait_ready(server: Starting, name: str, within_s: float, pause: Pause) -> None:
    """
    Wait up to ``within_s`` until the server is ready.

    Raises:
        CannotStart: the server ended, or was not ready in time.
    """
    until = time.monotonic() + within_s
    while not server.is_ready():
        if server.process is None or server.process.poll() is not None:
            raise why(server.log, f"{name} ended while starting")
        if time.monotonic() > until:
            raise why(server.log, f"{name} was not ready after {within_s:.0f} s")
        pause(POLL_S)
