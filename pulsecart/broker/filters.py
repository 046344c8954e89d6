"""
Builds predicates from a Trigger's ``filter.attributes`` and ``filters``: they select the events that it delivers.

An attribute is compared as the text that Knative's broker uses (``LookupAttribute`` in its pkg/eventfilter).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter

from pulsecart.runtime.event import CloudEvent

Filter = Callable[[CloudEvent], bool]
Attribute = Callable[[CloudEvent], str]
_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"\.([0-9]+)")
_OTHER_NAMES = {"schemaurl": "dataschema"}  # name in CloudEvents 0.3


def everything(event: CloudEvent) -> bool:
    return True


def attributes(wanted: Mapping[str, str]) -> Filter:
    """Match events in which each attribute equals its value; an empty value matches any non-empty one."""
    return all_of([_equal(attribute(name), want) if want else _given(attribute(name)) for name, want in wanted.items()])


def exact(wanted: Mapping[str, str]) -> Filter:
    """Match events in which each attribute equals its value; values are not empty."""
    return all_of([_equal(attribute(name), want) for name, want in wanted.items()])


def prefix(wanted: Mapping[str, str]) -> Filter:
    return all_of([_compared(name, str.startswith, want) for name, want in wanted.items()])


def suffix(wanted: Mapping[str, str]) -> Filter:
    return all_of([_compared(name, str.endswith, want) for name, want in wanted.items()])


def all_of(parts: Sequence[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    return (lambda event: all([part(event) for part in parts])) if parts else everything  # noqa: C419  # lists are faster here


def any_of(parts: Sequence[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    return lambda event: any([part(event) for part in parts])  # noqa: C419  # as above


def negation(part: Filter) -> Filter:
    return lambda event: not part(event)


def attribute(name: str) -> Attribute:
    """Return a function that reads a context attribute by its name or 0.3 name; an absent attribute reads as empty."""
    name = _OTHER_NAMES.get(name, name)
    if name in ("id", "source", "type"):
        return attrgetter(name)
    if name in ("subject", "dataschema", "datacontenttype"):
        get = attrgetter(name)
        return lambda event: get(event) or ""
    return _COMPUTED.get(name) or (lambda event: event.extensions.get(name, ""))


def _time(event: CloudEvent) -> str:
    """
    Format the time as Go does: UTC, up to nine fractional digits without trailing zeros, and year 1 if absent.

    A leap second is kept; Knative's ingress rejects it.
    """
    at = (event.time or _NO_TIME).astimezone(UTC).replace(tzinfo=None)
    text = event.time_text
    if text is None:
        fraction = f"{at.microsecond:06}"
    else:
        found = _FRACTION.search(text)
        fraction = found[1][:9] if found else ""
    second = at.isoformat(timespec="seconds")
    if text is not None and text[17:19] == "60":
        second = second[:-2] + "60"
    return f"{second}.{fraction}".rstrip("0").rstrip(".") + "Z" if fraction else f"{second}Z"


def _media_type(event: CloudEvent) -> str:
    media, semicolon, _ = (event.datacontenttype or "").partition(";")
    return media.strip() if semicolon else media


def _equal(read: Attribute, want: str) -> Filter:
    return lambda event: read(event) == want


def _compared(name: str, compare: Callable[[str, str], bool], want: str) -> Filter:
    read = attribute(name)
    return lambda event: compare(read(event), want)


def _given(read: Attribute) -> Filter:
    return lambda event: read(event) != ""


_COMPUTED: Mapping[str, Attribute] = {
    "specversion": lambda event: "1.0",
    "time": _time,
    "datamediatype": _media_type,
    "datacontentencoding": lambda event: "",  # exists in CloudEvents 0.3, not in 1.0
}
