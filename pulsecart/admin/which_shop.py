"""run.json: what runs on a data directory, for scripts and tests that look for it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".data"
DEFAULT_URL = "http://127.0.0.1:8080"
NOTHING_RUNS = "no shop is running on {data}; start one with ./scripts/up"


class NoShop(Exception):
    """The message says how to start one."""


@dataclass(frozen=True, slots=True)
class Connection:
    """``redis_url`` is empty where only DATABASE_URL is given."""

    url: str
    database_url: str
    redis_url: str


def connection_for_scripts(data: Path | None = None, environ: Mapping[str, str] = os.environ) -> Connection:
    """
    Where the shop is: DATABASE_URL (with REDIS_URL and PUBLIC_URL) of the environment, else what runs on ``data``.

    Raises:
        NoShop: neither is there.
    """
    if data is None and "DATABASE_URL" in environ:
        return Connection(environ.get("PUBLIC_URL", DEFAULT_URL), environ["DATABASE_URL"], environ.get("REDIS_URL", ""))
    run = running(data or DATA)
    if run is None:
        raise NoShop(NOTHING_RUNS.format(data=data or DATA))
    return Connection(run["url"], run["database_url"], run["redis_url"])


def running(data: Path) -> dict[str, Any] | None:
    """
    What ``publish`` wrote last, if its supervisor still lives.

    Returns:
        ``{"pid", "url", "ready", "database_url", "redis_url", "workers": [{"worker", "pid"}], "postgres_pid",
        "valkey_pid"}``; the last two are ``None`` for servers that are not ours.
    """
    try:
        run: dict[str, Any] = json.loads((data / "run.json").read_text())
        os.kill(run["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return run


def publish(data: Path, run: Mapping[str, Any]) -> None:
    """Replace run.json in one step: a reader sees the old one or the new one, whole."""
    new = data / "run.json.new"
    new.touch(mode=0o600)  # a URL may hold a password
    new.write_text(json.dumps(run, indent=1) + "\n")
    new.replace(data / "run.json")


def withdraw(data: Path) -> None:
    (data / "run.json").unlink(missing_ok=True)
