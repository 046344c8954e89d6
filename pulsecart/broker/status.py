"""Computes the lag of dispatch, and the limits above which new events are rejected."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pulsecart.broker.trigger import TriggerRun

LAG_S_MAX = 2.0
LAG_EVENTS_MAX = 20_000


@dataclass(slots=True)
class Counts:
    """Counts of one trigger's deliveries since the start of this process."""

    delivered: int = 0
    failed: int = 0
    retries: int = 0
    dead_letters: int = 0


class TriggerStatus(NamedTuple):
    """
    The lag and the counts of one trigger.

    Args:
        lag_events: events that are neither done nor in the backlog.
        lag_s: age of the oldest of these.
        waiting: events in the backlog: waiting for a retry, slow, or behind such an event.
    """

    lag_events: int
    lag_s: float
    in_flight: int
    waiting: int
    delivered: int
    failed: int
    retries: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """The lag of dispatch; while ``overloaded``, reject requests that add events with 503 and ``retry_after_s``."""

    lag_s: float
    lag_events: int

    @property
    def overloaded(self) -> bool:
        return self.lag_s > LAG_S_MAX or self.lag_events > LAG_EVENTS_MAX

    @property
    def retry_after_s(self) -> int:
        return max(1, min(30, round(self.lag_s)))


def status_of(run: "TriggerRun", now: float) -> TriggerStatus:
    """
    Return the status of a trigger's run.

    Args:
        now: seconds since 1970.
    """
    unread, unread_since = run.unread
    oldest = run.lanes.oldest_logged_at or unread_since
    counts = run.counts
    return TriggerStatus(
        lag_events=run.lanes.unsettled + unread,
        lag_s=max(0.0, now - oldest) if oldest else 0.0,
        in_flight=len(run.running),
        waiting=len(run.lanes.parked),
        delivered=counts.delivered,
        failed=counts.failed,
        retries=counts.retries,
        dead_letters=counts.dead_letters,
    )
