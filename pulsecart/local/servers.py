"""Starts PostgreSQL and Valkey on one data directory, or uses the servers given in the environment."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import Pause
from pulsecart.local.postgres import Postgres
from pulsecart.local.valkey import Valkey

LONGEST_SOCKET_PATH = 100  # 107 bytes on Linux, 103 on macOS
FREE_BYTES = 100 * 1024 * 1024
LOG_BYTES = 10 * 1024 * 1024


class Stack:
    """
    PostgreSQL and Valkey under ``data``.

    Args:
        data: directory, created with mode 0700 if missing; locked until ``stop``.
        database_url: use this server and start none.
        redis_url: use this server and start none.
        say: receives a sentence for each action.
        pause: waits a number of seconds; may raise to abandon the start.
    """

    def __init__(
        self,
        data: Path,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        say: Callable[[str], None] = lambda sentence: None,
        pause: Pause = time.sleep,
    ) -> None:
        self.data = data.absolute()
        self._given = {"database_url": database_url, "redis_url": redis_url}
        self._say = say
        self._pause = pause
        self._lock: IO[str] | None = None
        self._private_sockets: Path | None = None
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None

    @property
    def database_url(self) -> str:
        return self.postgres.url if self.postgres else self._given["database_url"] or ""

    @property
    def operations_url(self) -> str:
        """Return the PostgreSQL URL for operations; in a server started here, its role cannot change the schema."""
        return self.postgres.operations_url if self.postgres else self._given["database_url"] or ""

    @property
    def redis_url(self) -> str:
        return self.valkey.url if self.valkey else self._given["redis_url"] or ""

    @property
    def servers(self) -> list[Postgres | Valkey]:
        """Return the servers started here, in start order; they stop in reverse order."""
        return [server for server in (self.postgres, self.valkey) if server]

    def claim(self) -> None:
        """
        Lock the data directory for this process until ``stop``.

        Raises:
            CannotStart: another shop runs there, the directory cannot be written, or its disk is full.
        """
        _make(self.data)
        self._lock = (self.data / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise CannotStart(_taken(self.data)) from None
        if shutil.disk_usage(self.data).free < FREE_BYTES:
            raise CannotStart(f"the disk under {self.data} is full: free some space or give another --data")

    def start(self) -> None:
        """
        Start both servers and wait until they are ready.

        Raises:
            CannotStart: with the reason; servers already started are stopped.
        """
        try:
            if self._lock is None:
                self.claim()
            self._make_servers()
            for server in reversed(self.servers):  # Valkey starts while PostgreSQL creates its database
                if done := server.prepare(self._pause):
                    self._say(done)
                server.spawn()
            for server in self.servers:
                server.wait_ready(self._pause)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the servers started here, Valkey first, and unlock the data directory."""
        for server in reversed(self.servers):
            server.stop()
        if self._private_sockets:
            shutil.rmtree(self._private_sockets, ignore_errors=True)
            self._private_sockets = None
        if self._lock:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _make_servers(self) -> None:
        if self._given["database_url"] and self._given["redis_url"]:
            return
        sockets = self._sockets()
        if not self._given["database_url"]:
            self.postgres = Postgres(self.data / "postgres", sockets, _log(self.data / "postgres.log"))
        if not self._given["redis_url"]:
            self.valkey = Valkey(self.data / "valkey", sockets, _log(self.data / "valkey.log"))

    def _sockets(self) -> Path:
        """Return the sockets' directory: a private one in /tmp if the data directory's path is too long for sockets."""
        sockets = self.data / "sockets"
        if len(os.fsencode(sockets / ".s.PGSQL.5432")) > LONGEST_SOCKET_PATH:
            name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]  # stable: no pile after crashes
            self._private_sockets = sockets = Path("/tmp") / f"pulsecart-{name}"  # noqa: S108  # checked below
        sockets.mkdir(mode=0o700, exist_ok=True)
        found = sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise CannotStart(
                f"{sockets} must be a directory that only you can use: "
                "remove it, because the servers create their sockets there"
            )
        return sockets


def _make(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if data.stat().st_uid != os.geteuid():
            raise CannotStart(f"{data} belongs to another user: start as its owner, or give another --data")
        (data / "lock").touch(mode=0o600)
    except OSError as failed:
        if failed.errno == errno.ENOSPC:
            raise CannotStart(f"the disk under {data} is full: free some space or give another --data") from None
        raise CannotStart(f"{data} cannot be written ({failed.strerror}): give another --data") from None


def _taken(data: Path) -> str:
    try:
        run = json.loads((data / "run.json").read_text())
        return f"a shop is already running on {data}: {run['url']} (pid {run['pid']}); give another --data directory"
    except (OSError, ValueError, KeyError):
        return f"a shop is already starting or stopping on {data}: wait a moment, or give another --data directory"


def _log(path: Path) -> Path:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.unlink()
    path.touch(mode=0o600)
    return path
