"""Decides how many messages of a subscription may be sent now: by its concurrency, its rate and its circuit."""

from datetime import datetime, timedelta

from pulsecart.shop.webhooks.circuit import Circuit

BURST_S = 0.1  # what the rate allows in this time is claimed at once: one transaction each would bound the rate


def room_of(circuit: Circuit, concurrency: int, in_flight: int, rate_per_s: float | None) -> int:
    """Return the number of messages that may be claimed now, given that the rate allows one."""
    free = (1 if circuit.one_at_a_time else concurrency) - in_flight
    return max(0, free if rate_per_s is None else min(free, 1 + int(rate_per_s * BURST_S)))


def rate_of(rate_per_s: float | None, allowed_per_min: int | None) -> float | None:
    """Return the lower of the subscription's own rate and the one that its endpoint allowed; None: no limit."""
    allowed = [rate for rate in (rate_per_s, allowed_per_min and allowed_per_min / 60) if rate]
    return min(allowed, default=None)


def next_free(next_free_at: datetime | None, claimed: int, rate_per_s: float | None, now: datetime) -> datetime | None:
    """Return when the rate allows the next attempt (GCRA: what was not used earlier is not caught up on)."""
    if rate_per_s is None:
        return None
    return max(now, next_free_at or now) + timedelta(seconds=claimed / rate_per_s)
