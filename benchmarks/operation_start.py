"""
Measures the process part of a cold start: from the command to the first byte of its first answer, each operation in
turns with functions-framework's hello-world.

    scripts/python -m benchmarks.operation_start [--times 7] [OPERATION …] [--out FILE.json]

CPU is what is compared: it is the pod's own, and other programs on the machine do not change it much.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

from benchmarks.machine import described
from benchmarks.report import write_report
from pulsecart.processes import registry

ROOT = Path(__file__).parent.parent
HELLO = "hello"
GIVE_UP_S = 60.0
LOOK_S = 0.002
IMPORTED = re.compile(r"^import time: +(\d+) \| +(\d+) \|( +)(\S+)$", re.MULTILINE)
UNREACHABLE = {"DATABASE_URL": "postgresql://shop@127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9"}
KEYS = {"WEBHOOK_KEYS": b64encode(bytes(32)).decode()}


@dataclass(frozen=True, slots=True)
class Start:
    """``modules``: each that was imported before the first answer, with its own µs; empty unless requested."""

    wall_ms: float
    cpu_ms: float
    modules: dict[str, int]

    @property
    def import_ms(self) -> float:
        return sum(self.modules.values()) / 1000


def start(name: str, importtime: bool = False) -> Start:
    """
    Start it, send requests to /healthz until it answers, and kill it immediately.

    Args:
        name: an operation, or HELLO.
        importtime: run Python with -X importtime, which makes the start slower.

    Raises:
        RuntimeError: it ended, or did not answer in GIVE_UP_S.
    """
    port = free_port()
    flags = ("-X", "importtime") if importtime else ()
    what = (
        ("benchmarks/hello/serve.py", str(port))
        if name == HELLO
        else ("-m", "pulsecart.processes.function", name, f"--port={port}")
    )
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, *flags, *what], cwd=ROOT, env=_environment(), stdout=output, stderr=output
        )
        try:
            while not _answers(port):
                if time.monotonic() - began > GIVE_UP_S or _has_ended(child):
                    raise RuntimeError(f"{name} did not start: {_read(output)[-2000:]}")
                time.sleep(LOOK_S)
            wall_s = time.monotonic() - began
        finally:
            cpu_s = _cpu_s_at_end(child)
        modules = {found[4]: int(found[1]) for found in IMPORTED.finditer(_read(output))}
    return Start(wall_s * 1000, cpu_s * 1000, modules)


def _environment() -> dict[str, str]:
    """Return the environment without variables that make each start compile its modules again, or measure coverage."""
    away = {"PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_CONFIG"}
    kept = {name: value for name, value in os.environ.items() if name not in away}
    return {**kept, **UNREACHABLE, **KEYS}


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _cpu_s_at_end(child: subprocess.Popen[bytes]) -> float:
    os.kill(child.pid, signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status  # it is waited for: Popen need not
    return usage.ru_utime + usage.ru_stime


def _read(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def measure(names: Sequence[str], times: int) -> dict[str, Any]:
    """Return per operation: medians, and the median over all turns of its CPU ÷ hello-world's in the same turn."""
    starts: dict[str, list[Start]] = {name: [] for name in (HELLO, *names)}
    for name in starts:
        start(name)  # writes bytecode
    for turn in range(times):
        for name, its in starts.items():
            its.append(start(name))
            print(f"{turn + 1}/{times} {name:16} {its[-1].wall_ms:5.0f} ms, CPU {its[-1].cpu_ms:4.0f} ms", flush=True)
    return {name: _summary(name, its, starts[HELLO]) for name, its in starts.items()}


def _summary(name: str, its: Sequence[Start], hello: Sequence[Start]) -> dict[str, Any]:
    imported = start(name, importtime=True)
    heaviest = sorted(imported.modules.items(), key=lambda one: -one[1])[:5]
    return {
        "first_byte_ms": round(median(one.wall_ms for one in its)),
        "cpu_ms": round(median(one.cpu_ms for one in its)),
        "cpu_ratio": round(median(one.cpu_ms / other.cpu_ms for one, other in zip(its, hello, strict=True)), 2),
        "modules": len(imported.modules),
        "import_ms": round(imported.import_ms),
        "heaviest_ms": {module: round(us / 1000, 1) for module, us in heaviest},
    }


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.operation_start", description=__doc__)
    parser.add_argument("operations", nargs="*", default=registry.names())
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_report({"machine": described(), **measure(options.operations, options.times)}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
