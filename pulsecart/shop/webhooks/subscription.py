"""Defines a webhook subscription: an endpoint of a partner, the events that it receives and how they are sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ContentMode = Literal["structured", "binary"]
SignatureKind = Literal["v1", "v1a"]
Consent = Literal["optional", "required"]
Status = Literal["ACTIVE", "PAUSED", "FAILING", "DISABLED"]

SCHEDULE_S = (30, 120, 300, 900, 1800)  # the delay before each retry
CONCURRENCY = 10
PAUSED_BY_HAND = "Paused on request."
HELD = frozenset({"PAUSED", "DISABLED"})  # nothing is sent; FAILING sends one probe at a time
ANY = ".*"
NOT_SENT = "ecommerce.webhook."  # the shop's own events about webhooks: sending them could cause more of them


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSubscription:
    """
    Holds a subscription without its secrets.

    Args:
        partner_id: the subject of the partner's token.
        event_types: types of events, or prefixes that end in ``.*``.
        rate_per_s: maximum number of attempts per second; None: no limit.
        schedule_s: the delay in seconds before each retry; the message fails after the last one.
        consent: ``required``: nothing is sent before the endpoint allows it (CloudEvents' handshake).
        version: grows with each change; also the sequence of the subscription's events.
    """

    subscription_id: str
    partner_id: str
    url: str
    event_types: tuple[str, ...]
    content_mode: ContentMode = "structured"
    signature: SignatureKind = "v1"
    ordered: bool = False
    concurrency: int = CONCURRENCY
    rate_per_s: float | None = None
    schedule_s: tuple[int, ...] = SCHEDULE_S
    consent: Consent = "optional"
    status: Status = "ACTIVE"
    status_reason: str = ""
    status_since: datetime
    version: int = 1
    created_at: datetime
    updated_at: datetime


def patterns_of(event_type: str) -> Iterator[str]:
    """Yield the patterns that match a type: the type itself, and each of its prefixes with ``.*``."""
    yield event_type
    words = event_type.split(".")
    for length in range(1, len(words)):
        yield ".".join(words[:length]) + ANY


def matches(event_type: str, patterns: Sequence[str]) -> bool:
    """Return whether one of a subscription's patterns matches the type."""
    return any(pattern in patterns for pattern in patterns_of(event_type))
