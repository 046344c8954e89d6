"""
Lists the events that Knative's filters match: its broker compares each attribute's text in Go (pkg/eventfilter of
Knative Eventing 0.48.2), and its own tests try the same dialects.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from pulsecart.runtime.event import CloudEvent

RICH = CloudEvent(
    id="e-1",
    source="/here/orders",
    type="order.created.v1",
    subject="42",
    time=datetime(2026, 1, 31, 9, 30, 0, 120_000, tzinfo=UTC),
    time_text="2026-01-31T10:30:00.120+01:00",
    dataschema="https://example.com/schemas/order.json",
    datacontenttype="application/json; charset=utf-8",
    data=b'{"type":"none.of.this"}',
    extensions={"orderstatus": "pending", "retries": "3", "urgent": "true", "note": ""},
)
BARE = CloudEvent(id="other", source="https://example.com/bare", type="bare", datacontenttype=None)


class Case(NamedTuple):
    """Holds a Trigger's spec, and whether RICH and BARE reach its subscriber."""

    spec: dict[str, Any]
    rich: bool
    bare: bool


def exact(**attributes: str) -> dict[str, Any]:
    return {"exact": attributes}


def prefix(**attributes: str) -> dict[str, Any]:
    return {"prefix": attributes}


def suffix(**attributes: str) -> dict[str, Any]:
    return {"suffix": attributes}


def filters(*dialects: dict[str, Any]) -> dict[str, Any]:
    return {"filters": list(dialects)}


def attributes(**wanted: str) -> dict[str, Any]:
    return {"filter": {"attributes": wanted}}


ATTRIBUTES = {
    "id": "e-1",
    "source": "/here/orders",
    "type": "order.created.v1",
    "subject": "42",
    "time": "2026-01-31T09:30:00.12Z",
    "dataschema": "https://example.com/schemas/order.json",
    "schemaurl": "https://example.com/schemas/order.json",
    "datacontenttype": "application/json; charset=utf-8",
    "datamediatype": "application/json",
    "orderstatus": "pending",
    "retries": "3",
    "urgent": "true",
}
EVERY_ATTRIBUTE = [
    *[Case(filters(exact(**{name: text})), True, False) for name, text in ATTRIBUTES.items()],
    *[Case(attributes(**{name: text}), True, False) for name, text in ATTRIBUTES.items()],
    Case(filters(exact(specversion="1.0")), True, True),
    Case(filters(exact(**ATTRIBUTES)), True, False),
    Case(attributes(**ATTRIBUTES), True, False),
]
PARTS_OF_TEXT = [
    *[Case(filters(prefix(**{name: text[:-1]})), True, False) for name, text in ATTRIBUTES.items() if len(text) > 1],
    *[Case(filters(suffix(**{name: text[1:]})), True, False) for name, text in ATTRIBUTES.items() if len(text) > 1],
    Case(filters(prefix(source="https://")), False, True),
    Case(filters(prefix(type="rder")), False, False),
    Case(filters(suffix(type="order.created")), False, False),
    Case(filters(prefix(type="ORDER")), False, False),
    Case(filters(prefix(type="order", subject="4")), True, False),
    Case(filters(prefix(type="order", subject="5")), False, False),
]
TIMES_AND_WHAT_IS_ABSENT = [
    Case(filters(exact(time="2026-01-31T10:30:00.120+01:00")), False, False),
    Case(filters(exact(time="2026-01-31T09:30:00.120Z")), False, False),
    Case(filters(exact(time="0001-01-01T00:00:00Z")), False, True),
    Case(attributes(time=""), True, True),
    Case(attributes(subject=""), True, False),
    Case(attributes(dataschema=""), True, False),
    Case(attributes(datacontenttype=""), True, False),
    Case(attributes(datamediatype=""), True, False),
    Case(attributes(datacontentencoding=""), False, False),
    Case(attributes(orderstatus=""), True, False),
    Case(attributes(note=""), False, False),
    Case(attributes(missing=""), False, False),
    Case(filters(exact(datacontentencoding="base64")), False, False),
    Case(filters(exact(datamediatype="application/json; charset=utf-8")), False, False),
    Case(filters(exact(datacontenttype="application/json")), False, False),
    Case(filters(exact(subject="42 ")), False, False),
    Case(filters({"not": exact(missing="x")}), True, True),
    Case(filters({"not": prefix(subject="4")}), False, True),
]
COMBINATIONS = [
    Case(filters({"all": [exact(type="order.created.v1"), prefix(source="/here"), suffix(subject="2")]}), True, False),
    Case(filters({"all": [exact(type="order.created.v1"), exact(id="other")]}), False, False),
    Case(filters({"any": [exact(id="e-1"), exact(id="other")]}), True, True),
    Case(filters({"any": [exact(id="other"), exact(missing="x")]}), False, True),
    Case(filters({"not": {"any": [exact(type="bare"), exact(type="other")]}}), True, False),
    Case(filters({"not": {"all": [exact(type="bare"), exact(id="other")]}}), True, False),
    Case(filters({"not": {"not": exact(type="bare")}}), False, True),
    Case(filters({"any": [{"all": [exact(type="bare"), exact(id="e-1")]}, {"not": exact(type="bare")}]}), True, False),
    Case(filters(exact(type="order.created.v1"), {"not": exact(orderstatus="confirmed")}), True, False),
    Case(filters(exact(type="order.created.v1"), {"not": exact(orderstatus="pending")}), False, False),
    Case({**attributes(type="bare"), **filters(exact(type="order.created.v1"))}, True, False),
]
TABLES = {
    "every attribute": EVERY_ATTRIBUTE,
    "parts of text": PARTS_OF_TEXT,
    "times, and what is absent": TIMES_AND_WHAT_IS_ABSENT,
    "combinations": COMBINATIONS,
}
