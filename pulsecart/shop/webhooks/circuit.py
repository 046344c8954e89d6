"""Decides how an endpoint is treated after an attempt: slower, later, one probe at a time, or no more."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pulsecart.shop.webhooks.attempt import GONE, Result
from pulsecart.shop.webhooks.subscription import Status

# Ten failures in a row open the circuit, but not within the first minute: a restart of the endpoint, which fails all
# attempts in flight at once, is left to the schedule.
FAILURES = 10
FAILING_AFTER = timedelta(seconds=60)
PROBE_FIRST, PROBE_LAST = timedelta(minutes=1), timedelta(hours=1)
SLOW_STATUSES = frozenset({429, 502, 504})  # Standard Webhooks: the endpoint is asked less often
SLOW_FIRST_S, SLOW_LAST_S = 5.0, 300.0
RETRY_AFTER_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """
    Holds what the attempts of a subscription have shown of its endpoint.

    Args:
        failures: failed attempts since the last success; ``first_failed_at`` is the first of them.
        slowed: how often the endpoint was slowed down since the last success.
        not_before: nothing is sent earlier; the next probe if FAILING.
    """

    status: Status
    status_since: datetime
    status_reason: str = ""
    failures: int = 0
    first_failed_at: datetime | None = None
    slowed: int = 0
    not_before: datetime | None = None

    @property
    def is_unwell(self) -> bool:
        """Return whether the last attempt failed, or the endpoint is slowed down."""
        return self.failures > 0 or self.slowed > 0

    @property
    def one_at_a_time(self) -> bool:
        """Return whether the endpoint gets one attempt at a time: a probe, or because it is overloaded."""
        return self.status == "FAILING" or self.slowed > 0


def circuit_after(circuit: Circuit, result: Result) -> Circuit:
    """Return the circuit after an attempt. A status that a person set (PAUSED) stays, except after 410."""
    if not result.tried:
        return circuit
    if result.delivered:
        return _succeeded(circuit, result)
    circuit = replace(
        circuit,
        failures=circuit.failures + 1,
        first_failed_at=circuit.first_failed_at or result.ended_at,
    )
    if result.status == GONE:
        return _as(circuit, "DISABLED", result, "The endpoint answered 410 Gone.")
    return _failing(_slower(circuit, result), result)


def _succeeded(circuit: Circuit, result: Result) -> Circuit:
    well = replace(circuit, failures=0, first_failed_at=None, slowed=0)
    return replace(_as(well, "ACTIVE", result, ""), not_before=None) if circuit.status == "FAILING" else well


def _slower(circuit: Circuit, result: Result) -> Circuit:
    """Slow the endpoint down, once for several answers of one moment: those to attempts that began before the pause."""
    if result.retry_after_s is not None:
        until = result.ended_at + timedelta(seconds=result.retry_after_s)
        return _paused(replace(circuit, slowed=max(circuit.slowed, 1)), until)
    paused_since = circuit.not_before is not None and circuit.not_before > result.attempt.began_at
    if result.status not in SLOW_STATUSES or paused_since:
        return circuit
    pause_s = min(SLOW_LAST_S, SLOW_FIRST_S * 2.0 ** min(circuit.slowed, 32))
    return _paused(replace(circuit, slowed=circuit.slowed + 1), result.ended_at + timedelta(seconds=pause_s))


def _failing(circuit: Circuit, result: Result) -> Circuit:
    now = result.ended_at
    if circuit.status == "FAILING" and result.attempt.probe:
        # As long again as it has failed so far: the time between probes doubles without a count of them.
        wait = min(PROBE_LAST, max(PROBE_FIRST, now - circuit.status_since))
        return _paused(circuit, now + wait)
    first = circuit.first_failed_at or now
    if circuit.status == "ACTIVE" and circuit.failures >= FAILURES and now - first >= FAILING_AFTER:
        last = f"status {result.status}" if result.status else result.result
        reason = f"{circuit.failures} attempts in a row failed, the last one with {last}."
        return _paused(_as(circuit, "FAILING", result, reason), now + PROBE_FIRST)
    return circuit


def _as(circuit: Circuit, status: Status, result: Result, reason: str) -> Circuit:
    if circuit.status == status:
        return circuit
    return replace(circuit, status=status, status_since=result.ended_at, status_reason=reason)


def _paused(circuit: Circuit, until: datetime) -> Circuit:
    return replace(circuit, not_before=max(until, circuit.not_before or until))
