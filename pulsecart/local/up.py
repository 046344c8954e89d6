"""Runs the embedded shop: starts its servers, prepares the database, and supervises the host until Ctrl-C."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pulsecart.admin.which_shop import DATA, publish, withdraw
from pulsecart.local.arguments import arguments
from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import POLL_S, spawn, stop
from pulsecart.local.kept_secrets import session_secret, webhook_keys
from pulsecart.local.profiles import Profiles
from pulsecart.local.restarts import Watch
from pulsecart.local.servers import Stack
from pulsecart.local.signals import Ended, SignalWaiter
from pulsecart.local.workers import Worker, answers, listen, stop_all

READY_S = 60.0
DEV_ISSUER = "pulsecart-development"  # as in pulsecart/local/issuer.py, whose libraries the supervisor must not import
STARTED_AT = time.monotonic()


def main() -> int:
    """
    Run the shop until the end is requested.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM, 1 when it could not start or continue; the reason is on stderr.
    """
    options = arguments()
    with SignalWaiter() as signals:
        shop = Shop(options.data, options.port, options.workers, signals, options.profiles)
        try:
            shop.run()
        except Ended:
            say("stopping …")
        except CannotStart as reason:
            sys.stderr.write(f"\n{reason}\n")
            return 1
        finally:
            shop.stop()
        say("stopped; the data is kept for the next ./scripts/up")
    return 0


class Shop:
    """All processes of a shop on one data directory."""

    def __init__(
        self, data: Path, port: int, workers: int, signals: SignalWaiter, profiles: Collection[str] = ()
    ) -> None:
        environ = os.environ
        given = {"database_url": environ.get("DATABASE_URL"), "redis_url": environ.get("REDIS_URL")}
        self.stack = Stack(data, **given, say=lambda done: say(f"  {done}"), pause=signals.pause)
        self.data = self.stack.data
        self._profiles = Profiles(profiles, environ, self.data, lambda done: say(f"  {done}"), signals.pause)
        self._port = port
        self._count = workers
        self._bell = signals
        self._listening: socket.socket | None = None
        self._workers: list[Worker] = []
        self._ready = False

    def run(self) -> None:
        """
        Start everything and keep it running.

        Raises:
            Ended: the end was requested.
            CannotStart: with the reason.
        """
        self.stack.claim()
        self._listening = listen(self._port)
        self._port = self._listening.getsockname()[1]
        say(f"PulseCart on {self.data}")
        self._start_servers()
        self._profiles.start()
        self._prepare()
        self._start_workers()
        watch = Watch([*self.stack.servers, *self._profiles.servers, *self._workers], say, self._publish)
        self._wait_ready(watch)
        self._announce()
        while True:
            self._bell.wait(watch.tend())

    def stop(self) -> None:
        """Stop the workers, then Valkey, then PostgreSQL, so that no process loses a server that it still needs."""
        if self._listening:
            self._listening.close()
        stop_all(self._workers)
        if self._workers:
            withdraw(self.data)
        self._profiles.stop()
        self.stack.stop()

    def _start_servers(self) -> None:
        began = time.monotonic()
        for server, url in (("PostgreSQL", "DATABASE_URL"), ("Redis", "REDIS_URL")):
            if given := os.environ.get(url):
                say(f"  using the {server} that {url} names ({_place(given)}), so that none is started here")
        self.stack.start()
        if names := " and ".join(server.name for server in self.stack.servers):
            say(f"  {names} answered after {time.monotonic() - began:.1f} s")

    def _prepare(self) -> None:
        environ = self._environ()
        given = "" if self.stack.postgres else os.environ.get("MIGRATION_DATABASE_URL", "")
        environ["MIGRATION_DATABASE_URL"] = given or self.stack.database_url
        child = spawn([sys.executable, "-m", "pulsecart.local.prepare"], environ=environ)
        try:
            while child.poll() is None:
                self._bell.wait(POLL_S)
        finally:
            stop(child, signal.SIGTERM, 1.0)
        if child.returncode:
            raise CannotStart("the database could not be prepared; the reason is above")

    def _start_workers(self) -> None:
        assert self._listening is not None  # noqa: S101  # set by run()
        environ = self._environ()
        self._workers = [
            Worker(i, self._count, self._listening, environ | {"LOG_FILE": str(self.data / f"worker-{i}.log")})
            for i in range(self._count)
        ]
        for worker in self._workers:
            worker.spawn()
        self._publish()

    def _wait_ready(self, watch: Watch) -> None:
        until = time.monotonic() + READY_S
        while (answer := answers(self._port))[0] != 200:
            for worker in self._workers:
                if worker.process and (worker.process.poll() or 0) > 0:  # an exit: a restart would fail too
                    raise CannotStart(f"{worker.name} ended while starting; the reason is above")
            if time.monotonic() > until:
                raise CannotStart(f"the host was not ready after {READY_S:.0f} s: {answer[1].strip() or 'no answer'}")
            watch.tend()
            self._bell.wait(POLL_S)
        self._ready = True
        self._publish()

    def _publish(self) -> None:
        postgres, valkey = self.stack.postgres, self.stack.valkey
        run = {
            "pid": os.getpid(),
            "url": self._url,
            "ready": self._ready,
            "database_url": self.stack.database_url,
            "redis_url": self.stack.redis_url,
            "workers": [{"worker": w.index, "pid": w.process.pid} for w in self._workers if w.process],
            "postgres_pid": postgres.process.pid if postgres and postgres.process else None,
            "valkey_pid": valkey.process.pid if valkey and valkey.process else None,
        }
        publish(self.data, run)

    def _environ(self) -> dict[str, str]:
        given = {**os.environ, **self._profiles.environ}
        return host_environ(given, self.stack, self.data, self._url, self._count)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _announce(self) -> None:
        at = "" if self.data == DATA else f" --data {self.data}"
        say(f"""
PulseCart is ready after {time.monotonic() - STARTED_AT:.1f} s, with {self._count} worker{"s" * (self._count > 1)}:

  the page     {self._url}/
  the API      curl -X POST {self._url}/api/v1/sync/purchase -H 'Content-Type: application/json' \\
                    -d '{{"productId":1,"quantity":1,"userId":12345}}'
  the metrics  {self._url}/metrics
  a token      ./scripts/token --user 12345 --role admin{at}
  a sale       ./scripts/sale --url {self._url}
  the proof    ./scripts/audit{at}
  the log      {self.data}/worker-0.log{" and one for each worker" * (self._count > 1)}
""")
        if os.environ.get("ACCEPT_UNSIGNED_BUYERS", "true").lower() not in ("false", "0", ""):
            say("This demo listens on 127.0.0.1 only, and accepts the userId of every request without a token.")
        say("Ctrl-C stops everything.")


def host_environ(environ: Mapping[str, str], stack: Stack, data: Path, url: str, workers: int) -> dict[str, str]:
    """
    Return the environment from which a worker reads its settings; variables that the caller has set stay.

    Raises:
        CannotStart: JWT_ISSUER is set without its keys.
    """
    made = {"ACCEPT_UNSIGNED_BUYERS": "true", "PUBLIC_URL": url} | dict(environ)
    made |= {"DATABASE_URL": stack.operations_url, "REDIS_URL": stack.redis_url}
    if not made.get("JWT_JWKS_URL") and not made.get("JWT_PUBLIC_KEY"):
        if made.get("JWT_ISSUER") not in (None, "", DEV_ISSUER):
            raise CannotStart("JWT_ISSUER is set without its keys: set JWT_JWKS_URL or JWT_PUBLIC_KEY, too")
        made["JWT_JWKS_URL"] = (data / "issuer" / "jwks.json").as_uri()  # prepare creates it, ./scripts/token signs
        made["JWT_ISSUER"] = DEV_ISSUER
    made["SESSION_SECRET"] = made.get("SESSION_SECRET") or session_secret(data)
    made["WEBHOOK_KEYS"] = made.get("WEBHOOK_KEYS") or webhook_keys(data)
    made.pop("PROMETHEUS_MULTIPROC_DIR", None)
    made.pop("MIGRATION_DATABASE_URL", None)  # operations cannot change the schema
    if workers > 1:
        made["PROMETHEUS_MULTIPROC_DIR"] = str(_fresh(data / "metrics"))
    return made


def say(sentence: str) -> None:
    """Print a line to the user, without buffering."""
    print(sentence, flush=True)


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    return directory


def _place(url: str) -> str:
    """Return a server's address without the password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.hostname and parts.port else parts.hostname or "a Unix socket"


if __name__ == "__main__":
    sys.exit(main())
