"""Defines the envelope of every event, CloudEvents 1.0 (https://github.com/cloudevents/spec), as a frozen value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import ClassVar, NamedTuple

import msgspec
from msgspec import Struct
from uuid_utils import uuid7

from pulsecart.runtime.bounds import is_sequence

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SCHEMA_ROOT = "https://pulsecart.dev/contracts"


JSON = "application/json"


class Identity(NamedTuple):
    """Identifies an event: two events with the same id but different sources are different events."""

    source: str
    id: str


class CloudEvent(Struct, frozen=True, kw_only=True):
    """
    Holds one event. Attribute names are those of CloudEvents, in lower case.

    Args:
        id: unique within its source; a UUIDv7 in our own events.
        source: the publisher, e.g. ``/pulsecart/reserve``.
        type: e.g. ``ecommerce.order.order.created.v1``.
        time: aware UTC; ``None`` where an external event carries no time.
        time_text: the time as the publisher wrote it, if that differs from ``rfc3339(time)``: another offset, more or
            fewer digits, a leap second.
        subject: the aggregate's id.
        datacontenttype: as the publisher wrote it, parameters included; ``None`` if absent, which means JSON.
        data: the body's bytes; ``None`` for no data, which differs from empty data.
        extensions: all other attributes, as strings: ``partitionkey``, ``sequence`` (20 digits, zero-padded),
            ``correlationid``, ``causationid``, ``traceparent``, ``orderstatus``, ``knativeerror…``.
    """

    id: str
    source: str
    type: str
    time: datetime | None = None
    time_text: str | None = None
    subject: str | None = None
    dataschema: str | None = None
    datacontenttype: str | None = JSON
    data: bytes | None = None
    extensions: Mapping[str, str] = {}  # a Struct copies it

    @property
    def identity(self) -> Identity:
        return Identity(self.source, self.id)

    @property
    def partitionkey(self) -> str:
        """Return the key within which events stay in order; a key unique to this event if it carries none."""
        return self.extensions.get("partitionkey") or f"{self.source} {self.id}"

    @property
    def sequence(self) -> int:
        """Return the aggregate's version; 0 if the event carries no valid one."""
        digits = self.extensions.get("sequence", "")
        return int(digits) if is_sequence(digits) else 0

    def attributes(self) -> dict[str, str]:
        """Return every context attribute that a Trigger may filter on, as strings."""
        named = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time_text or (rfc3339(self.time) if self.time else None),
            "subject": self.subject,
            "dataschema": self.dataschema,
            "datacontenttype": self.datacontenttype,
        }
        return {**self.extensions, **{name: value for name, value in named.items() if value is not None}}


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562): unique, and sorted by creation time."""
    return str(uuid7())


def padded(sequence: int) -> str:
    """Return a sequence as 20 digits, zero-padded: the text sorts like the number."""
    return f"{sequence:020d}"


@lru_cache(maxsize=1024)
def rfc3339(moment: datetime) -> str:
    """Format as RFC 3339 in UTC with microseconds and ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def schema_of(event_type: str) -> str:
    """Return a type's schema URL: ``ecommerce.order.order.created.v1`` → …/ecommerce/order/order.created.v1.json"""
    domain, context, *name = event_type.split(".")
    return f"{SCHEMA_ROOT}/{domain}/{context}/{'.'.join(name)}.json"


def is_id(text: str) -> bool:
    """Return whether ``text`` is a UUID in the form that ``new_id`` writes."""
    return _ID.fullmatch(text) is not None


_encode = msgspec.json.Encoder().encode
_schema_of = cache(schema_of)


class Message(Struct, frozen=True, kw_only=True):
    """Base of the data of each event type; ``TYPE`` is the CloudEvent's ``type``, whose meaning never changes."""

    TYPE: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Cause:
    """Identifies a step's cause, published as ``correlationid``, ``causationid`` and ``traceparent`` of its events."""

    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    causation_source: str | None = None

    @classmethod
    def of(cls, event: CloudEvent) -> "Cause":
        """Return the cause of everything that a handler of ``event`` does."""
        named = event.extensions.get
        return cls(named("correlationid"), event.id, named("traceparent"), event.source)

    @property
    def event(self) -> Identity | None:
        """Return the causing event; None if a request is the cause."""
        return Identity(self.causation_source or "", self.causation_id) if self.causation_id else None


def enveloped(
    message: Message,
    *,
    source: str,
    key: str,
    sequence: int,
    time: datetime,
    cause: Cause,
    extensions: Mapping[str, str],
) -> CloudEvent:
    """Wrap ``message`` in a CloudEvent; ``key`` is the aggregate's id, ``sequence`` its version."""
    named = {"partitionkey": key, "sequence": padded(sequence), **extensions}
    if cause.correlation_id:
        named["correlationid"] = cause.correlation_id
    if cause.causation_id:
        named["causationid"] = cause.causation_id
    if cause.traceparent:
        named["traceparent"] = cause.traceparent
    return CloudEvent(
        id=new_id(),
        source=source,
        type=message.TYPE,
        time=time,
        subject=key,
        dataschema=_schema_of(message.TYPE),
        data=_encode(message),
        extensions=named,
    )
