"""Measures the cost of metrics and logs, in nanoseconds per call, tracing off: ``python -m benchmarks.watch_cost``."""

import asyncio
import logging
from collections.abc import Callable
from timeit import repeat

from prometheus_client import CollectorRegistry, Histogram

from pulsecart.runtime.telemetry.logs import bind
from pulsecart.runtime.telemetry.metrics import Requests
from pulsecart.runtime.telemetry.stall import running
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.shop.metrics import ORDERS_CREATED

TIMES, ROUNDS = 200_000, 5
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LIBRARY = Histogram("library_ms", "the library itself", ["a"], registry=CollectorRegistry()).labels("a")
REQUESTS, ORDERS, LOG = Requests("checkout", "/a"), ORDERS_CREATED.of("sync"), logging.getLogger("cost")


def run() -> None:
    with running("checkout") as _here:
        pass


def passed_on() -> None:
    with span("checkout", GIVEN):
        pass


def made() -> None:
    with span("checkout"):
        pass


def bound() -> None:
    with bind(orderId="o", userId="u"):
        pass


CALLS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "a request counted and timed": lambda: REQUESTS.add(200, 3.2),
    "an order counted": lambda: ORDERS.add(),
    "the library's own histogram": lambda: LIBRARY.observe(3.2),
    "running(operation)": run,
    "span, traceparent given": passed_on,
    "span, traceparent made": made,
    "bind(two ids)": bound,
    "a filtered log line": lambda: LOG.debug("%s", 1),
}


async def main() -> None:
    for name, call in CALLS.items():
        best = min(repeat(call, number=TIMES, repeat=ROUNDS)) / TIMES
        print(f"{name:32}{best * 1e9:8.0f} ns")


if __name__ == "__main__":
    asyncio.run(main())
