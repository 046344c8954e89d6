"""Defines the request bodies of webhook subscriptions."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from pulsecart.runtime.moment import YEARS, is_kept
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.bodies import ID_MAX
from pulsecart.shop.webhooks.subscription import CONCURRENCY, SCHEDULE_S, Consent, ContentMode, SignatureKind

URL_MAX = 2048
TYPE_MAX = 255
DAY_S = 86_400
WEEK_S = 7 * DAY_S
RETRIES_MAX = 20
Url = Annotated[str, Meta(min_length=1, max_length=URL_MAX, pattern=r"^[^\x00-\x20\x7f-\x9f]+$(?!\n)")]
Partner = Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=r"^[\x21-\x7e]+$(?!\n)")]
EventType = Annotated[str, Meta(min_length=1, max_length=TYPE_MAX, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$(?!\n)")]
EventPattern = Annotated[
    str, Meta(min_length=1, max_length=TYPE_MAX, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?$(?!\n)")
]
EventPatterns = Annotated[list[EventPattern], Meta(min_length=1, max_length=50)]
Concurrency = Annotated[int, Meta(ge=1, le=100)]
Rate = Annotated[float, Meta(ge=0.01, le=1000)]
Delay = Annotated[int, Meta(ge=1, le=WEEK_S)]
Schedule = Annotated[tuple[Delay, ...], Meta(max_length=RETRIES_MAX)]


class SubscriptionBody(Struct, frozen=True, kw_only=True):
    """
    ``eventTypes``: types of events, or prefixes that end in ``.*``. ``ordered``: an event is not sent before the
    earlier ones with its ``partitionkey`` succeeded. ``ratePerS``: attempts per second; absent: no limit.
    ``scheduleS``: the delay before each retry. ``consent``: ``required`` sends nothing before the endpoint allows it.
    """

    url: Url
    eventTypes: EventPatterns
    contentMode: ContentMode = "structured"
    ordered: bool = False
    concurrency: Concurrency = CONCURRENCY
    ratePerS: Rate | None = None
    scheduleS: Schedule = SCHEDULE_S
    consent: Consent = "optional"


class NewSubscriptionBody(SubscriptionBody, frozen=True, kw_only=True):
    """
    Holds what a change holds, and more. ``signature``: ``v1`` is HMAC-SHA256, ``v1a`` is ed25519. ``partnerId``: an
    admin names the partner; a partner may leave it out.
    """

    signature: SignatureKind = "v1"
    paused: bool = False
    partnerId: Partner | None = None


class RotationBody(Struct, frozen=True):
    """
    ``overlapS``: seconds in which the earlier secrets sign, too. ``signature``: absent: as before.
    """

    overlapS: Annotated[int, Meta(ge=0, le=WEEK_S)] = DAY_S
    signature: SignatureKind | UnsetType = UNSET


class ExampleBody(Struct, frozen=True):
    """``eventType``: a type, not a prefix."""

    eventType: EventType


class ResendBody(Struct, frozen=True):
    """``since``: messages that failed then or later are sent again. ``dryRun``: they are only counted."""

    since: Annotated[datetime, Meta(tz=True, description=f"RFC 3339 with its zone, {YEARS}.")]
    dryRun: bool = False

    def __post_init__(self) -> None:
        if not is_kept(self.since):
            raise Malformed("moment-malformed", f"since must be a time {YEARS}.")
