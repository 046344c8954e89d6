"""Which shop runs here: what its ``run.json`` says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """
    Args:
        processes: group -> process ids; empty when the shop was started elsewhere.
        environment: what the shop's own commands need to find its servers (DATABASE_URL, REDIS_URL).
    """

    url: str = ""
    processes: Mapping[str, list[int]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def read(file: Path) -> Running:
    """An absent or half-written file is a shop that is not here."""
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError):
        return Running()
    return Running(
        url=str(told.get("url", "")),
        processes={group: pids for group in ("workers", "postgres", "valkey") if (pids := _pids(told.get(group)))},
        environment={name: str(told[name.lower()]) for name in ("DATABASE_URL", "REDIS_URL") if told.get(name.lower())},
    )


def _pids(value: Any) -> list[int]:
    """A pid, a list of them, or objects with a ``pid``."""
    if isinstance(value, dict):
        value = value.get("pid", list(value.values()))
    found = value if isinstance(value, list) else [value]
    return [pid for entry in found if isinstance(pid := entry.get("pid") if isinstance(entry, dict) else entry, int)]
