"""Builds the life of each pod from observations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tools.receipt.observed import Counted, Looked, Observation, PodSeen


@dataclass(slots=True)
class Life:
    """
    The life of a pod. Times are Unix time, in seconds; None: not observed yet.

    Args:
        there_before: the pod existed before the recording, so its earlier counts do not belong to the window.
        from_zero: no other pod of the operation could answer when this pod was created, so a request waited for it.
    """

    pod: str
    operation: str
    created: float
    there_before: bool
    exact: bool
    ready: float | None = None
    leaving: float | None = None
    gone: float | None = None
    from_zero: bool = False
    requests: "Counter" = field(default_factory=lambda: Counter())
    events: "Counter" = field(default_factory=lambda: Counter())

    @property
    def start_s(self) -> float | None:
        """Seconds from creation to Ready; None if it was not observed."""
        return None if self.ready is None or self.there_before else max(0.0, self.ready - self.created)

    def answers_at(self, at: float) -> bool:
        """Whether the pod exists at this time and is not terminating: it answers a request, now or after its start."""
        return (
            self.created < at and (self.leaving is None or at < self.leaving) and (self.gone is None or at < self.gone)
        )

    def within(self, since: float, until: float) -> float:
        """Seconds of the window in which the pod existed and held its resources, including its termination."""
        return max(0.0, min(self.gone or until, until) - max(self.created, since))

    def left_within(self, since: float, until: float) -> float:
        """Seconds of the window after the pod's termination began."""
        return max(0.0, min(self.gone or until, until) - max(self.leaving or until, since))


@dataclass(slots=True)
class Counter:
    """Sums a counter that is read periodically and restarts at zero with its process."""

    total: int | None = None
    _last: int = 0

    def read(self, value: int | None, from_now: bool = False) -> None:
        """
        Args:
            from_now: ignore counts from before this reading.
        """
        if value is None:
            return
        if self.total is None:
            self.total = 0 if from_now else value
        else:
            self.total += value - self._last if value >= self._last else value
        self._last = value


def window(observations: Sequence[Observation]) -> tuple[float, float]:
    """
    Raises:
        ValueError: the recording has no ``Looked``.
    """
    looks = [one.at for one in observations if isinstance(one, Looked)]
    if not looks:
        raise ValueError("a recording must begin and end with a reading of the pods")
    return min(looks), max(looks)


def lives(observations: Sequence[Observation]) -> list[Life]:
    """Return every observed pod, ordered by creation."""
    since, _ = window(observations)
    found: dict[str, Life] = {}
    for one in observations:
        if isinstance(one, PodSeen):
            life = found.setdefault(
                one.pod, Life(one.pod, one.operation, one.created, there_before=one.created < since, exact=one.exact)
            )
            if one.ready and life.ready is None:
                life.ready = one.at
            if (one.leaving or one.gone) and life.leaving is None:
                life.leaving = one.at
            if one.gone and life.gone is None:
                life.gone = one.at
        elif isinstance(one, Counted) and one.pod in found:
            life = found[one.pod]
            life.requests.read(one.requests, from_now=life.there_before)
            life.events.read(one.events, from_now=life.there_before)
    ordered = sorted(found.values(), key=lambda life: (life.created, life.pod))
    for life in ordered:
        life.from_zero = not _others_answer(life, ordered)
    return ordered


def _others_answer(life: Life, all_of_them: Iterable[Life]) -> bool:
    return any(
        other.operation == life.operation and other is not life and other.answers_at(life.created)
        for other in all_of_them
    )
