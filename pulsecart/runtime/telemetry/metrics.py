"""Declares the metrics of requests, events and processes, with the names of seed 002 §10; renders ``/metrics``."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pulsecart.runtime.telemetry.batched import Counters, Histograms, Measured, fold_all

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

    from pulsecart.runtime.deps import Deps

log = logging.getLogger(__name__)
READ_S = 2.0  # for all readings of a scrape; those that are not there by then are left out

# Builds what is calculated from the sum of all workers at each scrape: gauges of single workers could not be added up.
DERIVED: "list[Callable[[CollectorRegistry], Collector]]" = []


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps it by its identity
class Reading:
    """Holds gauges that a scrape reads from the database; ``values`` by the values of ``labels``."""

    name: str
    description: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(self.name, self.description, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        yield family


READERS: "list[Callable[[Deps], Awaitable[Sequence[Reading]]]]" = []
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Requests:
    """Counts and times the requests of one route: ``http_requests_total`` and ``http_request_duration_ms``."""

    __slots__ = ("_adds", "_labels")

    def __init__(self, operation: str, route: str) -> None:
        """
        Args:
            route: as declared, e.g. ``/api/v1/orders/{id}``; never the requested path.
        """
        self._labels = operation, route
        self._adds: dict[int, Callable[[float], None]] = {}

    def add(self, status: int, ms: float) -> None:
        """Record one request answered with ``status`` after ``ms`` milliseconds, under its status class."""
        add = self._adds.get(status)
        if add is None:
            add = self._adds[status] = HTTP.of(*self._labels, STATUS_CLASSES[status // 100 - 1]).add
        add(ms)


HTTP = Histograms(
    "http_request_duration_ms",
    "Time to answer a request, ms",
    "operation",
    "route",
    "status",
    counted=("http_requests_total", "Requests answered"),
)
DELIVERIES = Histograms(
    "event_delivery_duration_ms",
    "Time of an operation to handle an event, ms",
    "operation",
    "outcome",
    counted=("event_deliveries_total", "Events delivered to an operation: done, refused (not repeated) or retry"),
)
EVENTS_REFUSED = Counters(
    "events_refused_total", "Events without a valid signature, by the reason", "operation", "reason"
)
OUTSIDE_CALLS = Histograms(
    "outside_call_duration_ms",
    "Time of one call to an external system, ms",
    "call",
    "outcome",
    counted=(
        "outside_calls_total",
        "Calls to external systems by result: the answer, or TIMEOUT, UNAVAILABLE, REFUSED, ERROR",
    ),
)
CONNECTIONS_ENDED = Counters(
    "http_connections_ended_total", "Connections and requests that ended before a handler got them", "reason"
)
LOOP_STALLS = Histograms("loop_stall_ms", "Time of blocks of the event loop over 100 ms, ms", "operation")


def outside_call(call: str, outcome: str, began: float) -> None:
    """
    Record one call to an external service, answered or failed.

    Args:
        began: ``time.perf_counter()`` before the call.
    """
    OUTSIDE_CALLS.of(call, outcome).add((time.perf_counter() - began) * 1000)


def delivery(operation: str, status: int) -> Measured:
    """Return the metric of deliveries that ``operation`` answered with ``status``: done, retry or refused."""
    retried = status >= 500 or status in (404, 408, 409, 429)
    return DELIVERIES.of(operation, "done" if status < 300 else "retry" if retried else "refused")


async def readings(deps: "Deps") -> list[Reading]:
    """Read the gauges that stand in the database, for one scrape."""
    found: list[Reading] = []
    try:
        async with asyncio.timeout(READ_S):
            for read in READERS:
                found += await read(deps)
    except Exception as error:
        log.warning("a scrape has no gauges from the database: %s", error)
    return found


def exposition(read: Sequence[Reading] = ()) -> tuple[bytes, str]:
    """
    Render ``/metrics`` and return it with its media type: this process's metrics, or the sum over all workers if
    PROMETHEUS_MULTIPROC_DIR is set, and what was read from the database.
    """
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        REGISTRY,
        CollectorRegistry,
        disable_created_metrics,
        generate_latest,
    )

    fold_all()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotations here
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    registry = _everyones(Path(directory)) if directory else REGISTRY
    derived = CollectorRegistry()
    for derive in DERIVED:
        derived.register(derive(registry))
    for reading in read:
        derived.register(reading)
    return generate_latest(registry) + generate_latest(derived), CONTENT_TYPE_LATEST


def _everyones(directory: Path) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    for file in directory.glob("gauge_live*_*.db"):  # a killed worker leaves its live gauges behind
        if not _runs(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]  # as above
    return registry


def _runs(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
