"""
Compares the CPU time of one "sold out" answer between this code and another checkout of it, without sockets.

    git worktree add ../before COMMIT
    scripts/python -m benchmarks.answer_cost ../before [--connections 2000] [--rounds 400] [--runs 3] [--out FILE.json]

Each run is a process of its own; the two sides take turns. A round gives one purchase to each of CONNECTIONS HTTP
protocols, whose transport drops what it is given, and ends with the last answer. The least of many rounds is compared:
other programs on the machine only ever add to it.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.machine import described
from benchmarks.report import tell
from benchmarks.sides import purchases, servers, stocked
from pulsecart.processes.function import Function, server
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import read
from pulsecart.serving.cors import with_origins

SOLD_OUT = b"HTTP/1.1 409"
URL = "http://127.0.0.1:80"
CALM_S = 0.03  # between rounds, for the thread that keeps "sold out" fresh


class Answers:
    """Counts the answers of one round."""

    def __init__(self) -> None:
        self.left = 0
        self.complete = asyncio.Event()

    def expect(self, count: int) -> None:
        self.left = count
        self.complete.clear()

    def came(self, data: bytes) -> None:
        """
        Raises:
            RuntimeError: the answer is another one; its cost would mean nothing.
        """
        if not data.startswith(b"HTTP/1.1"):  # the body, where it is written apart
            return
        if not data.startswith(SOLD_OUT):
            raise RuntimeError(f"expected {SOLD_OUT.decode()}, got {data[:200]!r}")
        self.left -= 1
        if not self.left:
            self.complete.set()


class Discarding(asyncio.Transport):
    """A transport that hands each write to ``answers`` and sends nothing."""

    def __init__(self, answers: Answers) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 80)})
        self._answers = answers

    def write(self, data: Any) -> None:
        self._answers.came(bytes(data))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


async def measure(connections: int, rounds: int) -> float:
    """The least CPU time of an answer in any round, in microseconds, of this process's own code."""
    async with servers() as stack:
        stocked(stack.database_url, 0)
        settings = read(
            {
                "DATABASE_URL": stack.database_url,
                "REDIS_URL": stack.redis_url,
                "ACCEPT_UNSIGNED_BUYERS": "true",
                "SESSION_SECRET": "of this benchmark alone, 32 bytes or more",
                "WEBHOOK_KEYS": "b2YgdGhpcyBiZW5jaG1hcmsgYWxvbmUuLi4uLi4uLi4=",
            }
        )
        deps = open_deps(settings)
        operation = import_module("functions.checkout.main").checkout.operation
        serving = server(with_origins(Function(operation, deps), settings))
        serving.config.load()
        answers, request = Answers(), purchases(URL)
        protocols = []
        for _ in range(connections):
            made: Any = serving.config.http_protocol_class
            protocol = made(config=serving.config, server_state=serving.server_state, app_state={})
            protocol.connection_made(Discarding(answers))
            protocols.append(protocol)
        least = float("inf")
        gc.disable()
        for at in range(rounds):
            sent = [request() for _ in protocols]
            answers.expect(connections)
            began = time.thread_time()
            for protocol, data in zip(protocols, sent, strict=True):
                protocol.data_received(data)
            await answers.complete.wait()
            least = min(least, (time.thread_time() - began) / connections * 1e6)
            if at % 10 == 0:
                await asyncio.sleep(CALM_S)
        await close_deps(deps)
        return least


def run(code: Path, connections: int, rounds: int) -> float:
    """``measure`` in a process of its own, of the checkout in ``code``."""
    command = [sys.executable, "-m", "benchmarks.answer_cost", "--here", f"--connections={connections}"]
    completed = subprocess.run([*command, f"--rounds={rounds}"], cwd=code, check=True, capture_output=True, text=True)
    return float(json.loads(completed.stdout))


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.answer_cost", description=__doc__)
    parser.add_argument("before", type=Path, nargs="?", help="a checkout of the code to compare with")
    parser.add_argument("--here", action="store_true", help="measure only this code, once")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(uvloop.run(measure(options.connections, options.rounds))))
        return 0
    if options.before is None:
        parser.error("give the checkout to compare with, or --here")
    least: dict[str, list[float]] = {"before": [], "after": []}
    for _ in range(options.runs):
        for side, code in (("before", options.before.resolve()), ("after", Path.cwd())):
            least[side].append(round(run(code, options.connections, options.rounds), 1))
            print(f"  {side:6} {least[side][-1]:.1f} µs", file=sys.stderr)
    ratio = round(min(least["after"]) / min(least["before"]), 3)
    tell(
        {"machine": described(), "connections": options.connections, "us": least, "after_per_before": ratio},
        options.out,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
