"""Defines an attempt to send a message, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pulsecart.shop.webhooks.subscription import ContentMode

DELIVERED = "delivered"
ANSWERED = "http"  # the endpoint answered with a status that is not 2xx
NOT_TRIED = frozenset({"canceled", "busy"})  # the attempt shows nothing of the endpoint and uses up no retry
GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    Holds a claimed message and how it is sent.

    Args:
        number: of the message's attempts; 1 is the first.
        retries: how much of the schedule the message had used up before.
        lane: the event's ``partitionkey`` if the subscription is ordered.
        probe: the subscription is FAILING: the attempt tests the endpoint and uses up no retry.
        unwell: the endpoint's last attempt failed, or it asked for a slower pace.
        body: the event as structured JSON.
    """

    message_id: str
    number: int
    subscription_id: str
    retries: int
    lane: str | None
    probe: bool
    unwell: bool
    url: str
    content_mode: ContentMode
    schedule_s: tuple[int, ...]
    event_type: str
    body: bytes
    began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    Holds the outcome of an attempt.

    Args:
        result: ``delivered``, ``http`` (another answer than 2xx), or the reason why no answer came: timeout, connect,
            reset, tls, unresolvable, protocol, not-allowed, busy, canceled.
        status: of the answer; None if none came.
        body: the first bytes of the answer's body.
        retry_after_s: what a 429 or 503 asked for.
    """

    attempt: Attempt
    result: str
    ended_at: datetime
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        return self.result == DELIVERED

    @property
    def tried(self) -> bool:
        """Return whether the attempt shows something of the endpoint."""
        return self.result not in NOT_TRIED
