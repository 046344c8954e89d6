"""Finds the shop that runs on this machine, and its processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulsecart.admin.which_shop import running


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """
    Args:
        processes: group (workers, postgres, valkey) → process ids; empty when the shop was started elsewhere.
        environment: variables with which the shop's commands find its servers (DATABASE_URL, REDIS_URL).
    """

    url: str = ""
    processes: Mapping[str, list[int]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def find(data: Path) -> Running:
    """Return the shop on this data directory; an empty ``Running`` if none runs."""
    run = running(data)
    if run is None:
        return Running()
    return Running(url=run["url"], processes=_processes(run), environment=_environment(run))


def _processes(run: Mapping[str, Any]) -> dict[str, list[int]]:
    groups = {
        "workers": [worker["pid"] for worker in run.get("workers", ())],
        "postgres": [run.get("postgres_pid")],
        "valkey": [run.get("valkey_pid")],
    }
    return {group: pids for group, found in groups.items() if (pids := [pid for pid in found if pid])}


def _environment(run: Mapping[str, Any]) -> dict[str, str]:
    names = {"DATABASE_URL": "database_url", "REDIS_URL": "redis_url", "PUBLIC_URL": "url"}
    return {name: run[member] for name, member in names.items() if run.get(member)}
