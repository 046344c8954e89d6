"""Reads and writes run.json, which describes the shop running on a data directory, for scripts and tests."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".data"
WEBHOOK_KEYS = "webhook.keys"  # the file with the keys of a shop on one machine, in its data directory
DEFAULT_URL = "http://127.0.0.1:8080"
NOTHING_RUNS = "no shop is running on {data}; start one with ./scripts/up"


class NoShop(Exception):
    """No shop was found; the message states how to start one."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The addresses of a shop; ``redis_url`` is empty if only DATABASE_URL is given."""

    url: str
    database_url: str
    redis_url: str


def connection_for_scripts(data: Path | None = None, environ: Mapping[str, str] = os.environ) -> Connection:
    """
    Return the shop of DATABASE_URL (with REDIS_URL and PUBLIC_URL) in the environment, else the one on ``data``.

    Raises:
        NoShop: there is neither.
    """
    if data is None and "DATABASE_URL" in environ:
        return Connection(environ.get("PUBLIC_URL", DEFAULT_URL), environ["DATABASE_URL"], environ.get("REDIS_URL", ""))
    run = running(data or DATA)
    if run is None:
        raise NoShop(NOTHING_RUNS.format(data=data or DATA))
    return Connection(run["url"], run["database_url"], run["redis_url"])


def running(data: Path) -> dict[str, Any] | None:
    """
    Return the content of run.json, if its supervisor still runs.

    Returns:
        ``{"pid", "url", "ready", "database_url", "redis_url", "workers": [{"worker", "pid"}], "postgres_pid",
        "valkey_pid"}``; the last two are ``None`` for servers not started by it.
    """
    try:
        run: dict[str, Any] = json.loads((data / "run.json").read_text())
        os.kill(run["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return run


def publish(data: Path, run: Mapping[str, Any]) -> None:
    """Replace run.json atomically: a reader sees the complete old or new content."""
    new = data / "run.json.new"
    new.touch(mode=0o600)  # a URL may hold a password
    new.write_text(json.dumps(run, indent=1) + "\n")
    new.replace(data / "run.json")


def withdraw(data: Path) -> None:
    (data / "run.json").unlink(missing_ok=True)
