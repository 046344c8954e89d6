"""The envelope of every event: CloudEvents 1.0 (https://github.com/cloudevents/spec), as a frozen value."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct
from uuid_utils import uuid7

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SEQUENCE_DIGITS = 20  # as ``padded`` writes them
SCHEMA_ROOT = "https://pulsecart.dev/contracts"


class CloudEvent(Struct, frozen=True, kw_only=True):
    """
    One event. Attribute names are CloudEvents' own, lower case.

    Args:
        id: unique alone, UUIDv7 in our own events; (source, id) names the event.
        source: who says it, e.g. ``/pulsecart/reserve``.
        type: e.g. ``ecommerce.order.order.created.v1``.
        time: aware UTC; ``None`` where a foreign event carries none.
        subject: the aggregate's id.
        data: the body's bytes, JSON unless ``datacontenttype`` says otherwise; ``None`` for no body.
        extensions: everything else, as strings: ``partitionkey``, ``sequence`` (20 digits, zero-padded),
            ``correlationid``, ``causationid``, ``traceparent``, ``orderstatus``, ``knativeerror…``.
    """

    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str | None = None
    dataschema: str | None = None
    datacontenttype: str = "application/json"
    data: bytes | None = None
    extensions: Mapping[str, str] = {}  # a Struct copies it

    @property
    def partitionkey(self) -> str:
        """What orders this event against others; an event without one is ordered against nothing."""
        return self.extensions.get("partitionkey") or self.id

    @property
    def sequence(self) -> int:
        """The aggregate's version, 0 where the event carries none."""
        digits = self.extensions.get("sequence", "")
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= SEQUENCE_DIGITS else 0

    def attributes(self) -> dict[str, str]:
        """Every context attribute a Trigger may filter on, as strings."""
        named = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": rfc3339(self.time) if self.time else None,
            "subject": self.subject,
            "dataschema": self.dataschema,
            "datacontenttype": self.datacontenttype,
        }
        return {**self.extensions, **{name: value for name, value in named.items() if value is not None}}


def new_id() -> str:
    """A UUIDv7 (RFC 9562): unique, and sorted by time of making."""
    return str(uuid7())


def padded(sequence: int) -> str:
    """A sequence as text that sorts like the number: 20 digits."""
    return f"{sequence:020d}"


@lru_cache(maxsize=1024)
def rfc3339(moment: datetime) -> str:
    """Microseconds, UTC, ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def schema_of(event_type: str) -> str:
    """``ecommerce.order.order.created.v1`` → …/ecommerce/order/order.created.v1.json"""
    domain, context, *name = event_type.split(".")
    return f"{SCHEMA_ROOT}/{domain}/{context}/{'.'.join(name)}.json"


def is_id(text: str) -> bool:
    """Whether ``text`` is a UUID as ``new_id`` writes it."""
    return _ID.fullmatch(text) is not None
