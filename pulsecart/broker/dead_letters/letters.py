"""
Makes dead letters of events, and converts them to bytes and back without loss.

A dead letter is the event with Knative's error attributes. Its bytes are structured JSON if that can represent it.
"""

import binascii
import hashlib
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from pulsecart.broker.delivery import Destination
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.printable import decoded, printable, shortened, storable
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.telemetry.logs import bind_event
from pulsecart.serving import cloudevents

log = logging.getLogger(__name__)
ERRORS = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")
UNREADABLE = "unreadablerequest"  # the member that holds headers and body of a message that is not a CloudEvent
ERROR_DATA_MAX = 1024  # characters of base64, as in Knative
CAUSE_MAX = 65_536  # characters; the bytes of the event hold the whole text
ID_LOGGED, CAUSE_LOGGED = 100, 768  # characters


class Message(NamedTuple):
    """A message to a subscriber; the headers include ``content-type``."""

    headers: dict[str, str]
    body: bytes


def dead_letter(event: CloudEvent, subscriber: Destination, code: int, data: bytes) -> CloudEvent:
    """Add Knative's error attributes to the event: the subscriber's URL, the last status, the start of its body."""
    text = b64encode(data[: ERROR_DATA_MAX // 4 * 3]).decode()
    url = subscriber.url if subscriber.last_part else subscriber.url.rstrip("/") + "/"
    error = {name: value for name, value in zip(ERRORS, (url, str(code), text), strict=True) if value}
    return replace(event, extensions={**event.extensions, **error})


def cause_of(letter: CloudEvent) -> str:
    """Return the failed subscriber's reply, as text."""
    data = letter.extensions.get("knativeerrordata", "")
    try:
        text = decoded(b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        text = storable(data)
    return shortened(text, CAUSE_MAX)


def trigger_of(*addresses: str) -> str:
    """Return the trigger's name: the last path segment of the first address that has one, or ``unknown``."""
    return next(filter(None, map(_last_part, addresses)), "unknown")


def log_letter(trigger: str, letter: CloudEvent) -> None:
    """Log one line for a dead letter, with the subscriber's last response as the reason."""
    id, code = printable(shortened(letter.id, ID_LOGGED)), letter.extensions.get("knativeerrorcode", "unknown")
    reason = printable(shortened(cause_of(letter), CAUSE_LOGGED)) or "no reason was given"
    with bind_event(letter):
        log.warning("%s: %s is a dead letter, status %s: %s", printable(trigger), id, printable(code), reason)


def raw_of(event: CloudEvent) -> bytes:
    """Encode as structured JSON; if an attribute or the data is not UTF-8, as ASCII with the data in base64."""
    with suppress(UnicodeError, RecursionError):
        structured = cloudevents.structured(event)
        structured.decode()
        return structured
    members: dict[str, str] = {**event.attributes()}
    if event.data is not None:
        members["data_base64"] = b64encode(event.data).decode()
    return json.dumps(members).encode()


def unreadable(headers: Mapping[str, str], body: bytes, reason: str) -> tuple[CloudEvent, bytes]:
    """
    Convert a message that is not a valid CloudEvent to an event with the attributes found, and bytes with the rest.

    Args:
        headers: names in lower case.
    """
    named = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    named |= {name: value for name, value in _members(body).items() if isinstance(value, str)}
    kept = {"headers": dict(headers), "body_base64": b64encode(body).decode(), "reason": reason}
    raw = json.dumps({UNREADABLE: kept}).encode()
    extensions = {name: named[name] for name in (*ERRORS, "partitionkey") if name in named}
    id = named.get("id") or f"body {hashlib.sha256(body).hexdigest()}"
    return CloudEvent(
        id=id, source=named.get("source") or "unknown", type=named.get("type") or "unknown", extensions=extensions
    ), raw


def document(raw: bytes) -> Any:
    """Return the event's members for display, or the raw text if it is not JSON."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return decoded(raw)


def message(raw: bytes) -> Message:
    """Return the message to send for a replay: the original event without the attributes that Knative added."""
    kept = _members(raw).get(UNREADABLE)
    if isinstance(kept, dict):
        headers = {name: value for name, value in kept["headers"].items() if name[3:] not in ERRORS}
        return Message(headers, b64decode(kept["body_base64"]))
    try:
        event = cloudevents.decode({"content-type": cloudevents.STRUCTURED}, raw)
    except Problem:
        return Message({"content-type": cloudevents.STRUCTURED}, raw)
    left = {name: value for name, value in event.extensions.items() if name not in (*ERRORS, "knativebrokerttl")}
    return Message(*cloudevents.binary(replace(event, extensions=left)))


def _members(body: bytes) -> dict[str, Any]:
    found = document(body)
    return found if isinstance(found, dict) else {}


def _last_part(address: str) -> str:
    try:
        path = urlsplit(address).path
    except ValueError:  # such as a malformed IPv6 address
        path = address
    return path.rstrip("/").rpartition("/")[2]
