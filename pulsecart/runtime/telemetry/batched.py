"""
Provides counters and histograms whose observations cost one ``list.append`` each.

The lock, bucket search and (with several workers) memory-mapped write of prometheus_client are paid once per batch, in
``fold``. The library is imported only then: it includes an HTTP server, and an operation must answer its first
request without that cost.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from threading import Lock, RLock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

BATCH = 1024  # pending observations that trigger a fold; limits memory if nothing scrapes the metrics
LATENCY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

_folding = Lock()
_making = RLock()
_children: "list[Observed]" = []
_families: "list[Counters | Histograms]" = []
Bound = TypeVar("Bound", bound="Observed")


class Observed:
    """Collects the observations of one family with bound labels until they are folded."""

    __slots__ = ("_pending", "_values")

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = values
        self._pending: list[float] = []
        _children.append(self)

    def add(self, value: float = 1) -> None:
        """Increase the counter, or observe a value in the unit of the metric's name; thread-safe."""
        pending = self._pending
        pending.append(value)
        if len(pending) >= BATCH:
            self.fold()

    def fold(self) -> None:
        if batch := _taken(self._pending):
            self._hand_over(batch)

    def _hand_over(self, batch: list[float]) -> None:
        raise NotImplementedError


class Counted(Observed):
    """Collects the observations of one counter with bound labels."""

    __slots__ = ("_family",)

    def __init__(self, family: "Counters", values: tuple[str, ...]) -> None:
        self._family = family
        super().__init__(values)

    def _hand_over(self, batch: list[float]) -> None:
        self._family.child(self._values).inc(sum(batch))


class Measured(Observed):
    """Collects the observations of one histogram with bound labels, and of its counter, if any."""

    __slots__ = ("_family",)

    def __init__(self, family: "Histograms", values: tuple[str, ...]) -> None:
        self._family = family
        super().__init__(values)

    def _hand_over(self, batch: list[float]) -> None:
        batch.sort()
        child, counter = self._family.child(self._values)
        child._sum.inc(sum(batch))  # no public call takes many observations; the version is pinned
        below = 0
        for bucket, bound in zip(child._buckets, (*self._family.bounds, float("inf")), strict=True):
            upto = bisect_right(batch, bound)
            if upto > below:
                bucket.inc(upto - below)
            below = upto
        if counter is not None:
            counter.inc(len(batch))


class Labelled(Generic[Bound]):
    """Declares a family of metrics; ``of`` binds its labels once, outside the hot path."""

    def __init__(self, bind: Callable[[tuple[str, ...]], Bound]) -> None:
        self._bind = bind
        self._bound: dict[tuple[str, ...], Bound] = {}

    def of(self, *values: str) -> Bound:
        """
        Bind the family's labels.

        Args:
            values: one per label, in the declared order; of low cardinality (never an id).
        """
        bound = self._bound.get(values)
        if bound is None:
            bound = self._bound.setdefault(values, self._bind(values))
        return bound


class Counters(Labelled[Counted]):
    """Declares a counter with labels."""

    def __init__(self, name: str, description: str, *labels: str, registry: "CollectorRegistry | None" = None) -> None:
        super().__init__(lambda values: Counted(self, values))
        self._declared = name, description, labels
        self._registry = registry
        self._metric: Counter | None = None
        _families.append(self)

    def child(self, values: tuple[str, ...]) -> "Counter":
        """Return the library's counter for ``values``, created at first use."""
        metric = self.registered()
        return metric.labels(*values) if values else metric

    def registered(self) -> "Counter":
        """Return the library's family, created and registered at first use."""
        from prometheus_client import REGISTRY, Counter

        with _making:
            if self._metric is None:
                self._metric = Counter(*self._declared, registry=self._registry or REGISTRY)
            return self._metric


class Histograms(Labelled[Measured]):
    """Declares a histogram with labels; ``counted`` names a counter that counts the same observations."""

    def __init__(
        self,
        name: str,
        description: str,
        *labels: str,
        bounds: Sequence[float] = LATENCY_MS,
        counted: tuple[str, str] | None = None,
        registry: "CollectorRegistry | None" = None,
    ) -> None:
        super().__init__(lambda values: Measured(self, values))
        self._declared = name, description, labels
        self._counter = Counters(*counted, *labels, registry=registry) if counted else None
        self._registry = registry
        self._metric: Histogram | None = None
        self.bounds = tuple(bounds)
        _families.append(self)

    def child(self, values: tuple[str, ...]) -> "tuple[Histogram, Counter | None]":
        """Return the library's histogram and counter for ``values``, created at first use."""
        metric = self.registered()
        return metric.labels(*values) if values else metric, self._counter.child(values) if self._counter else None

    def registered(self) -> "Histogram":
        """Return the library's family, created and registered at first use."""
        from prometheus_client import REGISTRY, Histogram

        with _making:
            if self._metric is None:
                known = self._registry or REGISTRY
                self._metric = Histogram(*self._declared, buckets=self.bounds, registry=known)
            return self._metric


def fold() -> None:
    """Pass all pending observations to prometheus_client; a worker that others scrape calls this every second."""
    for child in tuple(_children):
        child.fold()


def fold_all() -> None:
    """Fold, and register every family, so that metrics without observations are exposed too."""
    for family in tuple(_families):
        family.registered()
    fold()


def _taken(pending: list[float]) -> list[float]:
    with _folding:  # one at a time: concurrent calls only append behind this batch
        batch = pending[:]
        del pending[: len(batch)]
    return batch
