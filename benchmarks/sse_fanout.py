"""
Measures the cost of one message per connected client: CPU of the process that holds the streams ÷ deliveries.

    scripts/python -m benchmarks.sse_fanout [--clients 1000] [--news 200] [--pairs 5] [--out FILE.json]

In turns: the edge as the host serves it (the reader of messages writes to each client at once), and the same edge
behind the plain request-reply adapter, where each client's own task is woken to write.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import uvloop

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.sse_client import EventSource, listen
from benchmarks.sse_server import DIRECT, TASKS
from pulsecart.edge.streams.hub import PACE_S
from pulsecart.edge.streams.news import News, encode
from pulsecart.edge.streams.publish import Publisher
from pulsecart.edge.streams.topics import STOCK
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tools.crowd.machine import cpu_s, pss_mb

SIDES = (DIRECT, TASKS)
TOPIC = STOCK.topic("1")
WITHIN_S = 60.0


@asynccontextmanager
async def edge(side: str, settings: Settings) -> AsyncIterator[tuple[str, int]]:
    """Yield (address, pid) of a process that serves the edge alone."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        command = [sys.executable, "-m", "benchmarks.sse_server", str(listening.fileno()), side]
        environ = {**os.environ, "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
        child = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environ)  # noqa: ASYNC220  # once
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


async def turn(side: str, clients: int, news: int, first: int, deps: Deps) -> dict[str, float]:
    """Return one side's µs per delivery, and KB per client."""
    async with edge(side, deps.settings) as (url, pid):
        probe = await listen(url, f"/sse/stock/{TOPIC.id}")
        await _all_have([probe], 1)
        empty_mb = pss_mb([pid])
        sources = [await listen(url, f"/sse/stock/{TOPIC.id}") for _ in range(clients)]
        await _all_have(sources, 1)
        full_mb, before = pss_mb([pid]), cpu_s([pid])
        for number in range(news):
            data = encode({"productId": "1", "available": 500, "delta": -1, "reason": "RESERVED", "sequence": number})
            await deps.singleton(Publisher).publish(News(TOPIC.key, (first + number, 0), "stock", data))
            await _all_have(sources, number + 2)
            await asyncio.sleep(PACE_S)
        spent = cpu_s([pid]) - before
        for source in (probe, *sources):
            source.close()
    per_delivery = spent / (news * (clients + 1)) * 1e6
    return {"us_per_delivery": round(per_delivery, 1), "kb_per_client": round((full_mb - empty_mb) * 1024 / clients, 1)}


async def _all_have(sources: list[EventSource], events: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while any(source.events < events for source in sources):  # noqa: ASYNC110  # thousands of events cost more
            await asyncio.sleep(0.002)


async def measure(clients: int, news: int, pairs: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="pulsecart-bench-") as data, Stack(Path(data)) as stack:
        migrate(stack.database_url)
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("INSERT INTO products (product_id, sku, name, price_minor) VALUES ('1', 'S', 'N', 1)")
            connection.execute("INSERT INTO stock (product_id, available) VALUES ('1', 500)")
        deps = open_deps(Settings(database_url=stack.database_url, redis_url=stack.redis_url))
        for number in range(2 * pairs):
            side = SIDES[(number + number // 2) % 2]
            found[side].append(await turn(side, clients, news, 1 + number * news, deps))
            print(f"{number + 1}/{2 * pairs} {side} {found[side][-1]}", flush=True)
        await close_deps(deps)
    return {
        side: {name: median(turn[name] for turn in turns) for name in turns[0]} | {"all": turns}
        for side, turns in found.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.sse_fanout", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--news", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {"machine": described(), "clients": options.clients, "news": options.news}
    result |= uvloop.run(measure(options.clients, options.news, options.pairs))
    write_report(result, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
