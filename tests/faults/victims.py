"""Kills processes, always with SIGKILL, and detects when the shop has recovered."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import psycopg
import redis

from pulsecart.local.child import command_of
from tests.local.running_shop import RunningShop, eventually

BACK_WITHIN_S = 60.0
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


class Shop:
    """Holds one data directory and one port; the processes on it change."""

    def __init__(self, data: Path, workers: int = 1, environ: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._workers = workers
        self._environ = environ
        self._port = self._read = 0
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start ``./scripts/up``, repeatedly until the killed process has released its port."""
        self.starts += 1
        for _ in range(20):
            self.running = RunningShop(self.data, port=self._port, workers=self._workers, environ=self._environ)
            eventually(
                lambda: self.running.process.poll() is not None or self._own_run_is_ready(), "ready", BACK_WITHIN_S
            )
            if self.running.process.poll() is None:
                self._port = int(self.running.url.rpartition(":")[2])
                return
            assert "is in use" in self.running.said.splitlines()[-1], self.running.said[-2000:]
        raise AssertionError(f"the port {self._port} stays in use")

    def stop(self) -> int:
        return self.running.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def errors(self) -> list[dict[str, str]]:
        """Return the errors logged since the last call."""
        with self.data.with_suffix(".log").open() as log:
            log.seek(self._read)
            lines = log.readlines()
            self._read = log.tell()
        return [{"logged": line.strip()} for line in lines if '"level":"ERROR"' in line or line.startswith("Traceback")]

    def _own_run_is_ready(self) -> bool:
        run = self.running.run
        return run.get("pid") == self.running.process.pid and bool(run.get("ready"))


def strike(shop: Shop, victim: str, random: Random) -> Callable[[], bool]:
    """Kill a process; return a function that checks whether a new one has replaced it."""
    if victim == "redis emptied":
        with redis.Redis.from_url(shop.running.redis_url) as client:
            client.flushall()
        return lambda: True
    if victim in ("supervisor", "everything"):
        return _strike_at_the_root(shop, victim)
    pids = shop.running.pids
    if victim == "a backend":  # PostgreSQL ends all others, and recovers
        with psycopg.connect(shop.running.database_url) as connection:
            backends = connection.execute(BACKENDS).fetchall()
        os.kill(random.choice(backends)[0], signal.SIGKILL)
        return lambda: True
    hosts = [name for name in pids if name.startswith("host")]
    name = {"host": random.choice(hosts), "redis": "valkey"}.get(victim, victim)
    os.kill(pids[name], signal.SIGKILL)
    return lambda: shop.running.pids.get(name, pids[name]) != pids[name]


def _strike_at_the_root(shop: Shop, victim: str) -> Callable[[], bool]:
    supervisor, children = shop.running.process, shop.running.pids
    for pid in (supervisor.pid, *(children.values() if victim == "everything" else ())):
        os.kill(pid, signal.SIGKILL)
    supervisor.wait()

    def back() -> bool:
        if shop.running.process is supervisor:
            shop.start()
            left = {name: pid for name, pid in children.items() if command_of(pid)}
            assert not left, f"left over from the dead shop: {left}"
        return True

    return back
