"""
Which events a Trigger wants: Knative's ``filter.attributes`` and the dialects of its ``filters``, as predicates.

An attribute is compared as the text that Knative's broker has for it (``LookupAttribute`` in its pkg/eventfilter).
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
_OTHER_NAMES = {"schemaurl": "dataschema"}  # of CloudEvents 0.3


def everything(event: CloudEvent) -> bool:
    return True


def attributes(wanted: Mapping[str, str]) -> Filter:
    """Each attribute equals its value; an empty value stands for any, as long as there is one."""
    return all_of([_equal(attribute(name), want) if want else _given(attribute(name)) for name, want in wanted.items()])


def exact(wanted: Mapping[str, str]) -> Filter:
    """Each attribute equals its value, which is not empty."""
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
    """How to read one context attribute, by its name or its other one; an absent one is empty, as an empty one is."""
    name = _OTHER_NAMES.get(name, name)
    if name in ("id", "source", "type"):
        return attrgetter(name)
    if name in ("subject", "dataschema", "datacontenttype"):
        get = attrgetter(name)
        return lambda event: get(event) or ""
    return _COMPUTED.get(name) or (lambda event: event.extensions.get(name, ""))


def _time(event: CloudEvent) -> str:
    """
    As Go writes a time: UTC, at most nine digits of fraction, without zeros at its end, and the year 1 for none.

    A leap second stays one; Knative's ingress refuses it.
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
    "datacontentencoding": lambda event: "",  # of CloudEvents 0.3; an event of 1.0 has none
}
