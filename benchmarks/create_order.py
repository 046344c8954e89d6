"""
Measures order creation at a steady rate: POST /api/v1/orders to a whole shop and, in turns, the same bytes to
functions-framework's hello-world.

    scripts/python -m benchmarks.create_order [--rate 200] [--seconds 15] [--pairs 3] [--out FILE.json]

A request is sent at its planned time even if earlier ones are unanswered; its latency counts from that time.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_hex
from statistics import median, quantiles
from typing import Any

import uvloop
from aiohttp import ClientSession, TCPConnector

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.shop import PLENTY, drained, shop
from benchmarks.sides import hello, nothing
from tools.crowd.ask import ask

PATH = "/api/v1/orders"
PRODUCTS = (2, 3)
WARM_S = 2.0
WANTED_P95_MS = 200.0


@dataclass(frozen=True, slots=True)
class Asked:
    """``rest`` runs after a turn: it waits until the log was read to its end."""

    name: str
    url: str
    status: int
    rest: Callable[[], Awaitable[None]]


@asynccontextmanager
async def whole_shop() -> AsyncIterator[Asked]:
    with shop() as (running, _):
        for product in PRODUCTS:
            await ask(running.url, "PUT", f"/api/v1/sync/stock/{product}/reset?stock={PLENTY}")
        yield Asked("orders", running.url, 201, lambda: drained(running.url))


@asynccontextmanager
async def trivial() -> AsyncIterator[Asked]:
    async with hello() as side:
        yield Asked("hello", side.url, 200, nothing)


async def turn(side: Asked, rate: int, seconds: float) -> list[float]:
    """
    Return the milliseconds of each request after the first WARM_S.

    Raises:
        RuntimeError: an answer was another than it should be.
    """
    loop, keys, run = asyncio.get_running_loop(), count(), token_hex(6)
    took: list[float] = []
    async with ClientSession(connector=TCPConnector(limit=0)) as http, asyncio.TaskGroup() as group:
        began = loop.time()
        for n in range(int(rate * (seconds + WARM_S))):
            due = began + n / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(_one(http, side, f"{run}-{next(keys)}", due, took if due >= began + WARM_S else []))
    await side.rest()
    return took


async def _one(http: ClientSession, side: Asked, key: str, due: float, took: list[float]) -> None:
    body = {"userId": key, "items": [{"productId": product, "qty": 1} for product in PRODUCTS]}
    async with http.post(side.url + PATH, json=body, headers={"Idempotency-Key": key}) as response:
        text = await response.text()
        if response.status != side.status:
            raise RuntimeError(f"{side.name} answered {response.status}: {text[:300]}")
    took.append((asyncio.get_running_loop().time() - due) * 1000)


def summary(turns: list[list[float]]) -> dict[str, float]:
    """Return the medians over the turns."""
    cuts = [quantiles(took, n=100) for took in turns]
    return {f"p{p}_ms": round(median(cut[p - 1] for cut in cuts), 1) for p in (50, 95, 99)}


async def measure(rate: int, seconds: float, pairs: int) -> dict[str, Any]:
    async with whole_shop() as ours, trivial() as other:
        turns: dict[str, list[list[float]]] = {ours.name: [], other.name: []}
        for pair in range(pairs):
            for side in (ours, other):
                turns[side.name].append(await turn(side, rate, seconds))
                figures = summary(turns[side.name][-1:])
                print(f"{pair + 1}/{pairs} {side.name:8} p95 {figures['p95_ms']:7.1f} ms", file=sys.stderr, flush=True)
    found = {name: summary(its) for name, its in turns.items()}
    return {"rate": rate, "wanted_p95_ms": WANTED_P95_MS, **found}


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.create_order", description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_report(
        {"machine": described(), **uvloop.run(measure(options.rate, options.seconds, options.pairs))}, options.out
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
