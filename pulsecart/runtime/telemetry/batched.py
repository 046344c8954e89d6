"""
Counters and histograms that cost one ``list.append`` where something happens.

prometheus_client's own lock, bucket search and (with several workers) memory-mapped write are paid once per batch, in
``fold``. Nor is the library imported before the first of them: it brings an HTTP server along, and an operation that
answers its first request has not been asked for figures.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from threading import Lock, RLock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

BATCH = 1024  # observations kept before a batch is folded where it stands; bounds memory when nobody scrapes
LATENCY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

_folding = Lock()
_making = RLock()
_children: "list[Observed]" = []
_families: "list[Counters | Histograms]" = []
Bound = TypeVar("Bound", bound="Observed")


class Observed:
    """What happened to one family with its labels bound, until it is folded."""

    __slots__ = ("_pending", "_values")

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = values
        self._pending: list[float] = []
        _children.append(self)

    def add(self, value: float = 1) -> None:
        """Count so many more, or observe one value in the unit the metric's name says; safe from any thread."""
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
    """One counter with its labels bound."""

    __slots__ = ("_family",)

    def __init__(self, family: "Counters", values: tuple[str, ...]) -> None:
        self._family = family
        super().__init__(values)

    def _hand_over(self, batch: list[float]) -> None:
        self._family.child(self._values).inc(sum(batch))


class Measured(Observed):
    """One histogram with its labels bound, and the counter that goes with it, if any."""

    __slots__ = ("_family",)

    def __init__(self, family: "Histograms", values: tuple[str, ...]) -> None:
        self._family = family
        super().__init__(values)

    def _hand_over(self, batch: list[float]) -> None:
        batch.sort()
        child, counter = self._family.child(self._values)
        child._sum.inc(sum(batch))  # the library has no call for many observations; its version is pinned
        below = 0
        for bucket, bound in zip(child._buckets, (*self._family.bounds, float("inf")), strict=True):
            upto = bisect_right(batch, bound)
            if upto > below:
                bucket.inc(upto - below)
            below = upto
        if counter is not None:
            counter.inc(len(batch))


class Labelled(Generic[Bound]):
    """A family of metrics; ``of`` binds its labels once, outside the hot path."""

    def __init__(self, bind: Callable[[tuple[str, ...]], Bound]) -> None:
        self._bind = bind
        self._bound: dict[tuple[str, ...], Bound] = {}

    def of(self, *values: str) -> Bound:
        """
        Args:
            values: one per label, in the order declared; few distinct ones (never an id).
        """
        bound = self._bound.get(values)
        if bound is None:
            bound = self._bound.setdefault(values, self._bind(values))
        return bound


class Counters(Labelled[Counted]):
    """A counter with labels."""

    def __init__(self, name: str, says: str, *labels: str, registry: "CollectorRegistry | None" = None) -> None:
        super().__init__(lambda values: Counted(self, values))
        self._declared = name, says, labels
        self._registry = registry
        self._metric: Counter | None = None
        _families.append(self)

    def child(self, values: tuple[str, ...]) -> "Counter":
        """The library's own, made when it is first wanted."""
        metric = self.made()
        return metric.labels(*values) if values else metric

    def made(self) -> "Counter":
        """The library's family, known to its registry."""
        from prometheus_client import REGISTRY, Counter

        with _making:
            if self._metric is None:
                self._metric = Counter(*self._declared, registry=self._registry or REGISTRY)
            return self._metric


class Histograms(Labelled[Measured]):
    """A histogram with labels; ``counted`` is a counter that has the same labels and moves with it."""

    def __init__(
        self,
        name: str,
        says: str,
        *labels: str,
        bounds: Sequence[float] = LATENCY_MS,
        counted: tuple[str, str] | None = None,
        registry: "CollectorRegistry | None" = None,
    ) -> None:
        super().__init__(lambda values: Measured(self, values))
        self._declared = name, says, labels
        self._counter = Counters(*counted, *labels, registry=registry) if counted else None
        self._registry = registry
        self._metric: Histogram | None = None
        self.bounds = tuple(bounds)
        _families.append(self)

    def child(self, values: tuple[str, ...]) -> "tuple[Histogram, Counter | None]":
        """The library's own, made when they are first wanted."""
        metric = self.made()
        return metric.labels(*values) if values else metric, self._counter.child(values) if self._counter else None

    def made(self) -> "Histogram":
        """The library's family, known to its registry."""
        from prometheus_client import REGISTRY, Histogram

        with _making:
            if self._metric is None:
                known = self._registry or REGISTRY
                self._metric = Histogram(*self._declared, buckets=self.bounds, registry=known)
            return self._metric


def fold() -> None:
    """Hand everything observed so far to prometheus_client. A worker that others scrape calls it every second."""
    for child in tuple(_children):
        child.fold()


def fold_all() -> None:
    """The same, and every family is known to its registry: also what has not happened yet."""
    for family in tuple(_families):
        family.made()
    fold()


def _taken(pending: list[float]) -> list[float]:
    with _folding:  # one at a time: others only append behind what is taken here
        batch = pending[:]
        del pending[: len(batch)]
    return batch
