"""What is counted and timed, under the names of seed 002 §10, and ``/metrics``.

An observation on the hot path is one ``list.append``; prometheus_client's own lock, bucket search and (with several
workers) memory-mapped write are paid once per batch, in ``fold``.
"""

import contextlib
import os
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from runtime.http import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1024  # observations kept before a batch is folded where it stands; bounds memory when nobody scrapes
LATENCY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")

_folding = Lock()
_children: "list[Counted | Measured]" = []


class Counted:
    """One counter with its labels bound."""

    __slots__ = ("_child", "_pending")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._pending: list[float] = []
        _children.append(self)

    def add(self, n: float = 1) -> None:
        """Count ``n`` more; safe from any thread."""
        pending = self._pending
        pending.append(n)
        if len(pending) >= BATCH:
            self.fold()

    def fold(self) -> None:
        if batch := _taken(self._pending):
            self._child.inc(sum(batch))


class Measured:
    """One histogram with its labels bound, and the counter that goes with it, if any."""

    __slots__ = ("_bounds", "_child", "_counter", "_pending")

    def __init__(self, child: Histogram, bounds: Sequence[float], counter: Counter | None = None) -> None:
        self._child = child
        self._bounds = bounds
        self._counter = counter
        self._pending: list[float] = []
        _children.append(self)

    def add(self, value: float) -> None:
        """Observe one value, in the unit the metric's name says; safe from any thread."""
        pending = self._pending
        pending.append(value)
        if len(pending) >= BATCH:
            self.fold()

    def fold(self) -> None:
        batch = _taken(self._pending)
        if not batch:
            return
        batch.sort()
        self._child._sum.inc(sum(batch))  # the library has no call for many observations; its version is pinned
        below = 0
        for bucket, bound in zip(self._child._buckets, (*self._bounds, float("inf")), strict=True):
            upto = bisect_right(batch, bound)
            if upto > below:
                bucket.inc(upto - below)
            below = upto
        if self._counter is not None:
            self._counter.inc(len(batch))


class Counters:
    """A counter with labels; ``of`` binds them once, outside the hot path."""

    def __init__(self, name: str, says: str, *labels: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._metric = Counter(name, says, labels, registry=registry)
        self._bound: dict[tuple[str, ...], Counted] = {}

    def of(self, *values: str) -> Counted:
        """
        Args:
            values: one per label, in the order declared; few distinct ones (never an id).
        """
        bound = self._bound.get(values)
        if bound is None:
            child = self._metric.labels(*values) if values else self._metric
            bound = self._bound.setdefault(values, Counted(child))
        return bound


class Histograms:
    """A histogram with labels; ``counted`` is a counter that has the same labels and moves with it."""

    def __init__(
        self,
        name: str,
        says: str,
        *labels: str,
        bounds: Sequence[float] = LATENCY_MS,
        counted: tuple[str, str] | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._metric = Histogram(name, says, labels, buckets=bounds, registry=registry)
        self._counter = Counter(*counted, labels, registry=registry) if counted else None
        self._bounds = tuple(bounds)
        self._bound: dict[tuple[str, ...], Measured] = {}

    def of(self, *values: str) -> Measured:
        """
        Args:
            values: one per label, in the order declared; few distinct ones (never an id).
        """
        bound = self._bound.get(values)
        if bound is None:
            child = self._metric.labels(*values) if values else self._metric
            counter = self._counter.labels(*values) if self._counter is not None and values else self._counter
            bound = self._bound.setdefault(values, Measured(child, self._bounds, counter))
        return bound


class Requests:
    """The requests of one route: ``http_requests_total`` and ``http_request_duration_ms`` by status class."""

    __slots__ = ("_adds", "_labels")

    def __init__(self, operation: str, route: str) -> None:
        """
        Args:
            route: as declared, e.g. ``/api/v1/orders/{id}``; never the path that was asked for.
        """
        self._labels = operation, route
        self._adds: dict[int, Callable[[float], None]] = {}

    def add(self, status: int, ms: float) -> None:
        """One request answered with ``status`` after ``ms`` milliseconds."""
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
ORDERS_CREATED = Counters("orders_created_total", "Orders recorded", "path")
ORDER_CREATION_MS = Histograms("order_creation_latency_ms", "Request read to order committed, ms", "path")
RESERVATION_FAILURES = Counters("inventory_reservation_failures_total", "Reservations refused", "reason")
DELIVERIES = Histograms(
    "event_delivery_duration_ms",
    "Time an operation took over an event, ms",
    "operation",
    "outcome",
    counted=("event_deliveries_total", "Events handed to an operation: done, refused (for good) or retry"),
)
PAYMENTS = Counters("payments_total", "Answers of the payment gateway", "outcome")
GROUP_COMMIT_ORDERS = Histograms("group_commit_batch_orders", "Orders sharing one transaction", bounds=BATCH_SIZES)
GROUP_COMMIT_MS = Histograms("group_commit_duration_ms", "Transaction of one batch, ms")
GATE_REBUILDS = Counters("gate_rebuilds_total", "Products whose gate was rebuilt from PostgreSQL", "reason")
CLAIMS_SETTLED = Counters("claims_settled_total", "Silent claims settled: won, void or released", "outcome")
LOOP_STALLS = Histograms("loop_stall_ms", "Time the event loop stood still, over 100 ms, ms", "operation")


def order_created(path: str, began: float) -> None:
    """
    An order was committed.

    Args:
        began: ``time.perf_counter()`` when its request was read.
    """
    ORDERS_CREATED.of(path).add()
    ORDER_CREATION_MS.of(path).add((time.perf_counter() - began) * 1000)


def delivery(operation: str, status: int) -> Measured:
    """The deliveries of ``operation`` answered with ``status``, named by what the broker then does."""
    retried = status >= 500 or status in (404, 408, 409, 429)
    return DELIVERIES.of(operation, "done" if status < 300 else "retry" if retried else "refused")


def fold() -> None:
    """Hand everything observed so far to prometheus_client. A worker that others scrape calls it every second."""
    for child in tuple(_children):
        child.fold()


def exposition() -> Reply:
    """``/metrics``: this process, or every worker's sum where PROMETHEUS_MULTIPROC_DIR is set."""
    fold()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it without annotations
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    body = _everyones(Path(directory)) if directory else generate_latest(REGISTRY)
    return Reply(body=body, media_type=CONTENT_TYPE_LATEST)


def _everyones(directory: Path) -> bytes:
    from prometheus_client.multiprocess import MultiProcessCollector

    for file in directory.glob("gauge_live*_*.db"):  # a killed worker cannot take its live gauges with it
        if not _runs(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]  # likewise
    return generate_latest(registry)


def _runs(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _taken(pending: list[float]) -> list[float]:
    with _folding:  # one at a time: others only append behind what is taken here
        batch = pending[:]
        del pending[: len(batch)]
    return batch
