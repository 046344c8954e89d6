"""Decides what becomes of a message after an attempt: delivered, another attempt, or failed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pulsecart.shop.webhooks.attempt import GONE, Result

SPREAD = 0.1  # of a delay: messages that failed together are not retried together
AGAIN = timedelta(seconds=1)  # after an attempt for which this process had no connection free

MessageStatus = Literal["PENDING", "DELIVERED", "FAILED", "SKIPPED"]


@dataclass(frozen=True, slots=True)
class Step:
    """Holds a message's next state; ``due_at`` is its next attempt, None if it has ended."""

    status: MessageStatus
    retries: int
    due_at: datetime | None


def step_after(result: Result, spread: float) -> Step:
    """
    Return a message's state after an attempt.

    A probe, an attempt that was not made, and one answered with 410 (which holds the subscription) use up no retry.

    Args:
        spread: random, from 0 to 1: how much of SPREAD is added to the delay.
    """
    attempt, now = result.attempt, result.ended_at
    if result.delivered:
        return Step("DELIVERED", attempt.retries, None)
    if result.result == "busy":
        return Step("PENDING", attempt.retries, now + AGAIN)
    if attempt.probe or not result.tried or result.status == GONE:
        return Step("PENDING", attempt.retries, now)
    if attempt.retries >= len(attempt.schedule_s):
        return Step("FAILED", attempt.retries, None)
    delay_s = attempt.schedule_s[attempt.retries] * (1 + SPREAD * spread)
    return Step("PENDING", attempt.retries + 1, now + timedelta(seconds=max(delay_s, result.retry_after_s or 0)))
