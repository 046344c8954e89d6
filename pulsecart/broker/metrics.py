"""Publishes the status of each Trigger as Prometheus metrics."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from pulsecart.broker.status import Counts, TriggerStatus

_LABEL = ("trigger",)
# One worker at a time dispatches a trigger, so the sum over live workers is the trigger's value.
_LAG_EVENTS = Gauge(
    "knative_trigger_lag_events",
    "Events that are neither handled nor in the backlog",
    _LABEL,
    multiprocess_mode="livesum",
)
_LAG_S = Gauge("knative_trigger_lag_seconds", "Age of the oldest of them", _LABEL, multiprocess_mode="livesum")
_IN_FLIGHT = Gauge("knative_trigger_in_flight", "Deliveries in flight", _LABEL, multiprocess_mode="livesum")
_WAITING = Gauge("knative_trigger_waiting_events", "Events in the backlog", _LABEL, multiprocess_mode="livesum")
_DELIVERIES = Counter("knative_trigger_deliveries", "Delivery attempts by result", (*_LABEL, "result"))
_RETRIES = Counter("knative_trigger_retries", "Delivery attempts after the first", _LABEL)
_DEAD_LETTERS = Counter("knative_trigger_dead_letters", "Events that failed for good", _LABEL)
_NOTHING = TriggerStatus(0, 0.0, 0, 0, 0, 0, 0, 0)


class Published:
    """Updates the metrics with the changes since the last call, so that a delivery itself updates no metric."""

    def __init__(self) -> None:
        self._gauges: dict[str, TriggerStatus] = {}
        self._counts: dict[str, tuple[int, int, int, int]] = {}

    def publish(self, statuses: Mapping[str, TriggerStatus], totals: Mapping[str, Counts]) -> None:
        """
        Update the metrics.

        Args:
            statuses: of the triggers that this worker dispatches; triggers no longer dispatched here are set to zero.
            totals: counts since the start.
        """
        for name in [*statuses, *(self._gauges.keys() - statuses.keys())]:
            self._set(name, statuses.get(name, _NOTHING))
        for name, total in totals.items():
            self._add(name, (total.delivered, total.failed, total.retries, total.dead_letters))

    def _set(self, name: str, status: TriggerStatus) -> None:
        if self._gauges.get(name) == status:
            return
        self._gauges[name] = status
        _LAG_EVENTS.labels(name).set(status.lag_events)
        _LAG_S.labels(name).set(status.lag_s)
        _IN_FLIGHT.labels(name).set(status.in_flight)
        _WAITING.labels(name).set(status.waiting)

    def _add(self, name: str, total: tuple[int, int, int, int]) -> None:
        known = self._counts.get(name)
        if known == total:
            return
        self._counts[name] = total
        counters = (
            _DELIVERIES.labels(name, "delivered"),
            _DELIVERIES.labels(name, "failed"),
            _RETRIES.labels(name),
            _DEAD_LETTERS.labels(name),
        )
        for counter, new, old in zip(counters, total, known or (0, 0, 0, 0), strict=True):
            if new > old:
                counter.inc(new - old)
