"""Runs Google's emulator of Pub/Sub, which the Google Cloud CLI installs; it keeps nothing on disk."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import Pause, spawn, stop
from pulsecart.local.ready import wait_ready

START_S = 30.0
STOP_S = 5.0
HOW = """Pub/Sub's emulator is not installed. Install Java 17 or newer and the Google Cloud CLI
(https://cloud.google.com/sdk/docs/install), then run:

    gcloud components install pubsub-emulator

Or set PUBSUB_EMULATOR_HOST to the address of a running one, such as 127.0.0.1:8085."""
_PLACE = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"


class PubSubEmulator:
    """
    One emulator on a free port of this machine.

    Args:
        log: file that receives its output.
    """

    name = "Pub/Sub's emulator"

    def __init__(self, log: Path) -> None:
        self.log = log
        self.host = ""
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self, pause: Pause = time.sleep) -> str | None:
        """Choose the port; it stays the same when the emulator is started again."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{listening.getsockname()[1]}"
        return None

    def spawn(self) -> None:
        """
        Start it without waiting for it; it must not be running.

        Raises:
            CannotStart: it is not installed.
        """
        program = installed(os.environ)
        if program is None:
            raise CannotStart(HOW)
        host, _, port = self.host.partition(":")
        self.process = spawn([program, f"--host={host}", f"--port={port}"], log=self.log)

    def is_ready(self) -> bool:
        host, _, port = self.host.partition(":")
        try:
            with socket.create_connection((host, int(port)), 1.0) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\n\r\n")
                return b"200" in connection.recv(64)
        except OSError:
            return False

    def wait_ready(self, pause: Pause = time.sleep) -> None:
        """
        Wait until it answers.

        Raises:
            CannotStart: it ended, or took longer than START_S seconds.
        """
        wait_ready(self, self.name, START_S, pause)

    def stop(self) -> None:
        if self.process:
            stop(self.process, signal.SIGTERM, STOP_S)
        self.process = None


def installed(environ: Mapping[str, str]) -> Path | None:
    """Return the emulator's program, if the Google Cloud CLI on PATH has it and Java is there."""
    gcloud = shutil.which("gcloud", path=environ.get("PATH"))
    if gcloud is None or shutil.which("java", path=environ.get("PATH")) is None:
        return None
    program = Path(gcloud).resolve().parents[1] / _PLACE
    return program if program.is_file() else None
