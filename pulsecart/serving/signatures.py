"""
Signatures of events: the relay signs what it reads from the log, and an operation verifies what is posted to it.

The extension ``eventsignature`` is an HMAC-SHA256 over the event's attributes and the hash of its data, so it goes with
the event through any broker, channel, retry and dead letter. Every key of EVENT_KEYS verifies, the first one signs.
"""

import hmac
import logging
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.runtime.problem import Forbidden, Problem, Unauthorized
from pulsecart.runtime.settings import MissingSetting, Settings
from pulsecart.runtime.telemetry import metrics

if TYPE_CHECKING:
    from pulsecart.runtime.deps import Deps

log = logging.getLogger(__name__)
SIGNATURE = "eventsignature"
VERSION = "v1."
KEY_MIN_BYTES = 32
# Brokers add these, or change them on the way. The content type is not signed either: no operation decides by it.
UNSIGNED = frozenset(("traceparent", "tracestate", SIGNATURE))
ADDED_BY_KNATIVE = "knative"
SHOWN_MAX = 100

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class Keys:
    """
    Args:
        keys: secrets of KEY_MIN_BYTES or more; the first one signs.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def signed(self, event: CloudEvent) -> CloudEvent:
        """The event with its signature, in place of one that it may have."""
        return replace(event, extensions={**event.extensions, SIGNATURE: _signature(self._keys[0], _text(event))})

    def verify(self, event: CloudEvent) -> None:
        """
        Raises:
            Unauthorized: the event has no signature.
            Forbidden: its signature was made with no key of ours, or the event was changed since.
        """
        found = event.extensions.get(SIGNATURE)
        if found is None:
            raise Unauthorized("unsigned-event", "This event has no signature. Send events through the shop's log.")
        text, given = _text(event), found.encode()
        if not any(hmac.compare_digest(given, _signature(key, text).encode()) for key in self._keys):
            raise Forbidden("wrong-signature", "The event's signature does not fit: other key, or changed event.")


def keys(deps: "Deps") -> Keys | None:
    """The process's own, for ``deps.one``; None where EVENT_KEYS is not set."""
    return keys_of(deps.settings)


def keys_of(settings: Settings) -> Keys | None:
    """
    Raises:
        MissingSetting: a key is too short to keep anybody from guessing it.
    """
    given = [key.strip().encode() for key in settings.event_keys.split(",") if key.strip()]
    if any(len(key) < KEY_MIN_BYTES for key in given):
        raise MissingSetting(f"EVENT_KEYS: each key, separated by commas, has {KEY_MIN_BYTES} bytes or more")
    return Keys(given) if given else None


def require(settings: Settings) -> None:
    """
    For an operation that signs or verifies events, before it starts.

    Raises:
        MissingSetting: it has neighbours (FUNCTION_URL), so others can reach it, and no keys.
    """
    if keys_of(settings) is None and settings.function_url:
        raise MissingSetting("EVENT_KEYS is not set: without it anything could post events to this operation")


def refusal(event: CloudEvent, operation: str, deps: "Deps") -> Problem | None:
    """
    Why a posted event is not to be handled, counted and logged; None for one that may be.

    A process without neighbours and without keys takes every event: functions-framework on a developer's machine.
    """
    known = deps.one(keys)
    try:
        if known is not None:
            known.verify(event)
        elif deps.settings.function_url:
            raise Unauthorized("no-event-keys", "This operation has no EVENT_KEYS, so it cannot verify events.")
    except (Unauthorized, Forbidden) as error:
        count_refused(event, operation, error)
        return error
    return None


def count_refused(event: CloudEvent, operation: str, error: Problem) -> None:
    """In ``events_refused_total``, and as a WARNING."""
    metrics.EVENTS_REFUSED.of(operation, error.type).add()
    named = {"eventId": event.id, "eventSource": event.source, "eventType": event.type}
    about = {name: value[:SHOWN_MAX] for name, value in named.items()}
    log.warning("%s refused an event: %s", operation, error.type, extra=about)


def _signature(key: bytes, text: bytes) -> str:
    return VERSION + urlsafe_b64encode(hmac.digest(key, text, "sha256")).decode().rstrip("=")


def _text(event: CloudEvent) -> bytes:
    """What is signed: unambiguous, and the same however the event was encoded on its way."""
    extensions = sorted(
        (name, value)
        for name, value in event.extensions.items()
        if name not in UNSIGNED and not name.startswith(ADDED_BY_KNATIVE)
    )
    time = rfc3339(event.time) if event.time else None  # some brokers drop zeros at its end
    named = (event.id, event.source, event.type, event.subject, time, event.dataschema)
    return _encode((named, extensions, sha256(_canonical(event.data or b"")).hexdigest()))


def _canonical(data: bytes) -> bytes:
    """JSON without spaces, its keys sorted: a JetStream channel writes it anew. Other data as it is."""
    try:
        return _encode_sorted(_decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return data
