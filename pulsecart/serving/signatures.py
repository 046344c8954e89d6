"""
Signs and verifies events: relay signs the events it reads from the log, and operations verify the events they receive.

The extension ``eventsignature`` is an HMAC-SHA256 over the event's attributes and the hash of its data, so it stays
with the event through any broker, channel, retry and dead letter. Every key of EVENT_KEYS verifies, the first signs.
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
# Brokers add or change these. The content type is not signed either: no operation depends on it.
UNSIGNED = frozenset(("traceparent", "tracestate", SIGNATURE))
ADDED_BY_KNATIVE = "knative"
SHOWN_MAX = 100

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class Keys:
    """
    Signs and verifies events.

    Args:
        keys: secrets of KEY_MIN_BYTES or more; the first one signs.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def signed(self, event: CloudEvent) -> CloudEvent:
        """Return the event with its signature, which replaces any existing one."""
        return replace(event, extensions={**event.extensions, SIGNATURE: _signature(self._keys[0], _text(event))})

    def verify(self, event: CloudEvent) -> None:
        """
        Verify the event's signature.

        Raises:
            Unauthorized: the event has no signature.
            Forbidden: the signature was made with an unknown key, or the event has changed since.
        """
        found = event.extensions.get(SIGNATURE)
        if found is None:
            raise Unauthorized("unsigned-event", "This event has no signature. Send events through the shop's log.")
        text, given = _text(event), found.encode()
        if not any(hmac.compare_digest(given, _signature(key, text).encode()) for key in self._keys):
            raise Forbidden(
                "wrong-signature",
                "The event's signature is wrong: it was made with another key, or the event was changed.",
            )


def keys(deps: "Deps") -> Keys | None:
    """Create the process's Keys, for ``deps.singleton``; None if EVENT_KEYS is not set."""
    return keys_of(deps.settings)


def keys_of(settings: Settings) -> Keys | None:
    """
    Parse EVENT_KEYS; return None if it is not set.

    Raises:
        MissingSetting: a key is so short that it could be guessed.
    """
    given = [key.strip().encode() for key in settings.event_keys.split(",") if key.strip()]
    if any(len(key) < KEY_MIN_BYTES for key in given):
        raise MissingSetting(f"EVENT_KEYS: each key, separated by commas, has {KEY_MIN_BYTES} bytes or more")
    return Keys(given) if given else None


def require(settings: Settings) -> None:
    """
    Check, before an operation that signs or verifies events starts, that it has keys.

    Raises:
        MissingSetting: it has no keys although it has peers (FUNCTION_URL), so others can reach it.
    """
    if keys_of(settings) is None and settings.function_url:
        raise MissingSetting("EVENT_KEYS is not set: without it any client could post events to this operation")


def refusal(event: CloudEvent, operation: str, deps: "Deps") -> Problem | None:
    """
    Verify a posted event; if it must be rejected, count and log it and return the reason, otherwise return None.

    A process without peers and without keys accepts every event: functions-framework on a developer's machine.
    """
    known = deps.singleton(keys)
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
    """Count a rejected event in ``events_refused_total`` and log it as a WARNING."""
    metrics.EVENTS_REFUSED.of(operation, error.type).add()
    named = {"eventId": event.id, "eventSource": event.source, "eventType": event.type}
    about = {name: value[:SHOWN_MAX] for name, value in named.items()}
    log.warning("%s rejected an event: %s", operation, error.type, extra=about)


def _signature(key: bytes, text: bytes) -> str:
    return VERSION + urlsafe_b64encode(hmac.digest(key, text, "sha256")).decode().rstrip("=")


def _text(event: CloudEvent) -> bytes:
    """Return the signed text: unambiguous, and independent of the event's encoding in transit."""
    extensions = sorted(
        (name, value)
        for name, value in event.extensions.items()
        if name not in UNSIGNED and not name.startswith(ADDED_BY_KNATIVE)
    )
    time = rfc3339(event.time) if event.time else None  # some brokers drop trailing zeros
    named = (event.id, event.source, event.type, event.subject, time, event.dataschema)
    return _encode((named, extensions, sha256(_canonical(event.data or b"")).hexdigest()))


def _canonical(data: bytes) -> bytes:
    """Normalize JSON (no spaces, sorted keys), which a JetStream channel re-encodes; leave other data unchanged."""
    try:
        return _encode_sorted(_decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return data
