"""Converts a dead letter's event to bytes and back without loss: structured JSON wherever that can represent it."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.printable import decoded
from pulsecart.runtime.problem import Problem
from pulsecart.serving import cloudevents

ERRORS = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")
UNREADABLE = "unreadablerequest"  # the member that holds headers and body of a message that is not a CloudEvent


class Message(NamedTuple):
    """A message to a subscriber; the headers include ``content-type``."""

    headers: dict[str, str]
    body: bytes


def raw_of(event: CloudEvent) -> bytes:
    """Encode as structured JSON; if an attribute or the data is not UTF-8, as ASCII with the data in base64."""
    with suppress(UnicodeError, RecursionError):
        whole = cloudevents.structured(event)
        whole.decode()
        return whole
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
