"""
Measures the time from an order's commit to its page, at a steady rate of orders whose buyers' pages are open.

    scripts/python -m benchmarks.sse_news [--per-second 100] [--seconds 20] [--path sync|async] [--out FILE.json]

Every order opens its own stream as the page does; one more page listens to the stock. The time of each piece of news
runs from the moment its transaction wrote into the event, a little before the commit, to the bytes at the client, on
one clock. News that a stream had to catch up with when it was opened are not counted: their age is the buyer's own.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.shop import shop
from benchmarks.sse_client import age_ms, listen, percentiles, send
from tools.crowd.machine import cpu_s

PRODUCT = "2"  # has no limit per buyer
BUYER = "1"
UNITS = 1_000_000
WARM_UP_S = 3.0
LAST_NEWS_S = 5.0


class Measured:
    """Holds ages in ms by kind of news, and the number of orders that were followed to their end."""

    def __init__(self) -> None:
        self.ages: dict[str, list[float]] = {}
        self.ended = 0
        self.refused: Counter[int] = Counter()
        self.counting = False

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        if self.counting and "at" in data:
            self.ages.setdefault(kind, []).append(age_ms(data["at"]))


async def measure(url: str, per_second: float, seconds: float, path: str) -> Measured:
    measured = Measured()
    await send(url, "PUT", f"/api/v1/sync/stock/{PRODUCT}/reset?stock={UNITS}")
    _, head, _ = await send(url, "POST", "/api/v1/session", {"userId": BUYER})
    cookie = head.decode().partition("set-cookie: ")[2].partition(";")[0]
    stock = await listen(url, f"/sse/stock/{PRODUCT}", lambda event, data: measured.record("stock", data))
    async with asyncio.TaskGroup() as group:
        began = time.monotonic()
        for number in count():
            due = began + number / per_second
            if due > began + WARM_UP_S + seconds:
                break
            await asyncio.sleep(due - time.monotonic())
            measured.counting = due >= began + WARM_UP_S
            group.create_task(_buy(url, path, cookie, measured))
    stock.close()
    return measured


async def _buy(url: str, path: str, cookie: str, measured: Measured) -> None:
    order = {"productId": PRODUCT, "quantity": 1, "userId": BUYER}
    status, _, bought = await send(url, "POST", f"/api/v1/{path}/purchase", order)
    if status not in (200, 202):
        measured.refused[status] += 1
        return
    caught_up, ended = False, asyncio.Event()

    def on_event(event: str, data: Mapping[str, Any]) -> None:
        nonlocal caught_up
        if caught_up and event == "order":
            measured.record("order " + data["status"], data)
        caught_up = caught_up or event == "snapshot"
        if data.get("status") == "FULFILLED":
            ended.set()

    source = await listen(url, f"/sse/orders/{bought['orderId']}", on_event, cookie)
    try:
        async with asyncio.timeout(LAST_NEWS_S):
            await ended.wait()
        measured.ended += 1
    except TimeoutError:
        pass
    source.close()


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.sse_news", description=__doc__)
    parser.add_argument("--per-second", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--path", choices=("sync", "async"), default="sync")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with shop() as (here, _):
        before, began = cpu_s(here.processes["workers"]), time.monotonic()
        found = uvloop.run(measure(here.url, options.per_second, options.seconds, options.path))
        share = (cpu_s(here.processes["workers"]) - before) / (time.monotonic() - began)
    result = {
        "machine": described(),
        "path": options.path,
        "orders_per_s": options.per_second,
        "seen_to_the_end": found.ended,
        "not_taken": dict(found.refused),
        "all_news": percentiles([age for ages in found.ages.values() for age in ages]),
        "news": {kind: percentiles(ages) for kind, ages in sorted(found.ages.items())},
        "worker_cpu_share": round(share, 2),
    }
    write_report(result, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
