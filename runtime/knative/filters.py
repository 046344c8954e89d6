"""Which events a Trigger wants: Knative's ``filter.attributes`` and the dialects of its ``filters``, as predicates."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from shop.event import CloudEvent, rfc3339

Filter = Callable[[CloudEvent], bool]
Attribute = Callable[[CloudEvent], str]


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
    """How to read one context attribute; an absent one is empty, which no event's attribute can be."""
    if name in ("id", "source", "type", "datacontenttype"):
        return attrgetter(name)
    if name in ("subject", "dataschema"):
        get = attrgetter(name)
        return lambda event: get(event) or ""
    if name == "specversion":
        return lambda event: "1.0"
    if name == "time":
        return lambda event: rfc3339(event.time) if event.time else ""
    return lambda event: event.extensions.get(name, "")


def _equal(read: Attribute, want: str) -> Filter:
    return lambda event: read(event) == want


def _compared(name: str, compare: Callable[[str, str], bool], want: str) -> Filter:
    read = attribute(name)
    return lambda event: compare(read(event), want)


def _given(read: Attribute) -> Filter:
    return lambda event: read(event) != ""
