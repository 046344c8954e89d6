"""Measures the shop's processes: CPU seconds and memory, from /proc (Linux only)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, process_time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the command's name; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def family(pids: Iterable[int]) -> set[int]:
    """Return the processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system seconds of the processes and their descendants, including ended ones that were reaped."""
    total = 0
    for pid in family(pids):
        if (fields := _stat(pid)) is not None:
            total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S


def busy_s() -> float:
    """Return CPU seconds of the whole machine since its start, all cores together; 0 without /proc."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, _steal = map(int, fields)
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def pss_mb(pids: Iterable[int]) -> float:
    """Return the memory (PSS, else RSS) of the processes and their descendants, in MB of 2^20 bytes."""
    total_kb = 0
    for pid in family(pids):
        try:
            total_kb += _kb(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
        except PermissionError:
            total_kb += _kb(Path(f"/proc/{pid}/status").read_text(), "VmRSS:")
        except OSError:
            continue
    return total_kb / 1024


def _kb(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)


@dataclass(slots=True)
class Meter:
    """
    Measures CPU and peak memory per group of processes, from its creation on.

    Args:
        groups: name -> the processes' ids, e.g. ``{"workers": [12], "postgres": [10], "valkey": [11]}``.
    """

    groups: Mapping[str, list[int]]
    _cpu_at_start: dict[str, float] = field(init=False)
    _own_at_start: float = field(init=False)
    _busy_at_start: float = field(init=False)
    _began: float = field(init=False)
    peak_mb: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._cpu_at_start = {name: cpu_s(pids) for name, pids in self.groups.items()}
        self._own_at_start, self._busy_at_start, self._began = process_time(), busy_s(), monotonic()

    def sample(self) -> None:
        """Sample the memory; takes some milliseconds."""
        for name, pids in self.groups.items():
            self.peak_mb[name] = max(self.peak_mb.get(name, 0.0), pss_mb(pids))

    def cpu_s(self) -> dict[str, float]:
        """Return CPU seconds since the start, per group; a restarted process counts only since its restart."""
        return {name: max(0.0, cpu_s(pids) - self._cpu_at_start[name]) for name, pids in self.groups.items()}

    def others_cores(self) -> float:
        """Return the average number of cores used by other processes since the start; 0.3 or more distorts results."""
        ours = sum(self.cpu_s().values()) + process_time() - self._own_at_start
        elapsed = max(monotonic() - self._began, 0.001)
        return max(0.0, (busy_s() - self._busy_at_start - ours) / elapsed)
