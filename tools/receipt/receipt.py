"""Computes the receipt from observations: each operation's load in the window, and the pods it used."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from tools.receipt.lives import Counter, Life, lives, window
from tools.receipt.observed import Observation


class Line(Struct, frozen=True, kw_only=True):
    """
    The receipt of one operation.

    Args:
        pods: created within the window.
        cold_starts: the pods of these created while the operation had no other, so that a request had to wait.
        start_p50_s, start_p95_s: of the cold starts, from the pod's creation until Ready; None without cold starts.
        pod_s: seconds for which pods existed, summed; ``leaving_s`` of them after their termination began.
        most_pods: at one time, without terminating pods.
        at_zero: share of the window without pods, terminating pods not counted.
        requests, events: answered and delivered within the window; None if not counted.
    """

    operation: str
    pods: int
    cold_starts: int
    start_p50_s: float | None
    start_p95_s: float | None
    pod_s: float
    leaving_s: float
    most_pods: int
    at_zero: float
    requests: int | None
    events: int | None


class Receipt(Struct, frozen=True):
    """``exact`` is False when times come from the cluster's objects, which have whole seconds."""

    since: float
    until: float
    exact: bool
    lines: tuple[Line, ...]
    all: Line


def receipt(observations: Sequence[Observation], operations: Sequence[str] = ()) -> Receipt:
    """
    Args:
        observations: ordered by time.
        operations: these get a line even without observed pods.
    """
    since, until = window(observations)
    seen = [life for life in lives(observations) if life.within(since, until) > 0]
    names = sorted({*operations, *(life.operation for life in seen)})
    of = {name: [life for life in seen if life.operation == name] for name in names}
    exact = all(life.exact for life in seen if life.created >= since)
    lines = tuple(_line(name, of[name], since, until) for name in names)
    return Receipt(since, until, exact, lines, _line("all", seen, since, until))


def _line(name: str, its: Sequence[Life], since: float, until: float) -> Line:
    new = [life for life in its if life.created >= since]
    cold = [life for life in new if life.from_zero]
    starts = sorted(life.start_s for life in cold if life.start_s is not None)
    steps = _steps(its, since, until)
    return Line(
        operation=name,
        pods=len(new),
        cold_starts=len(cold),
        start_p50_s=_percentile(starts, 0.50),
        start_p95_s=_percentile(starts, 0.95),
        pod_s=round(sum(life.within(since, until) for life in its), 1),
        leaving_s=round(sum(life.left_within(since, until) for life in its), 1),
        most_pods=max((n for _, n in steps), default=0),
        at_zero=round(sum(s for s, n in steps if n == 0) / (until - since), 4) if until > since else 1.0,
        requests=_sum([life.requests for life in its]),
        events=_sum([life.events for life in its]),
    )


def _steps(its: Sequence[Life], since: float, until: float) -> list[tuple[float, int]]:
    """Return consecutive (seconds, working pods) steps from ``since`` to ``until``."""
    changes = [(since, 0)]
    for life in its:
        begins = max(life.created, since)
        ends = min(life.leaving or until, until)
        if begins < ends:
            changes += [(begins, 1), (ends, -1)]
    changes.sort()
    steps, n = [], 0
    for (at, change), (following, _) in zip(changes, [*changes[1:], (until, 0)], strict=True):
        n += change
        steps.append((following - at, n))
    return [(s, n) for s, n in steps if s > 0]


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile, rounded to milliseconds."""
    return round(ordered[max(0, ceil(share * len(ordered)) - 1)], 3) if ordered else None


def _sum(counters: Sequence[Counter]) -> int | None:
    known = [counter.total for counter in counters if counter.total is not None]
    return sum(known) if known else (0 if not counters else None)
