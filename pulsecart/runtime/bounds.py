"""
Checks that text, ids and numbers from outside can be stored and compared: one rule for all inputs (docs/input.md).

Indexed values are limited in bytes of UTF-8: a row of a btree index in PostgreSQL holds 2,704 bytes.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pulsecart.runtime.problem import Malformed, Unstorable

if TYPE_CHECKING:
    from pulsecart.runtime.event import CloudEvent

# ``consumed`` and ``dead_letters`` index an event's id and source together with an operation's or a Trigger's name.
ATTRIBUTE_BYTES: Final = 1_024
EXTENSION_BYTES: Final = 4_096
EXTENSIONS_MAX: Final = 64
SEQUENCE_MAX: Final = 2**63 - 1  # bigint
SEQUENCE_DIGITS: Final = 20
AMOUNT_MAX: Final = 10**14  # with four decimals, the minor units still fit a bigint
# One day inside Python's range, so that Python can read the value back in any time zone of the database.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
PARAMETER_CHARACTERS: Final = 512  # limit for the value of one path placeholder

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # after an odd run of backslashes it is text
_INDEXED = ("partitionkey",)


def is_clean(text: str) -> bool:
    """Return whether ``text`` holds no control character (C0, DEL, C1) and no lone surrogate."""
    return text.isprintable() or not _CONTROL.search(text)


def is_within(text: str, bytes_max: int) -> bool:
    """Return whether clean ``text`` has at most ``bytes_max`` bytes of UTF-8."""
    return len(text) <= bytes_max and (text.isascii() or len(text.encode()) <= bytes_max)


def is_sequence(text: str) -> bool:
    """Return whether ``text`` is 1 to 20 ASCII digits whose number fits a bigint."""
    return text.isascii() and text.isdigit() and len(text) <= SEQUENCE_DIGITS and int(text) <= SEQUENCE_MAX


def check_event(event: "CloudEvent") -> None:
    """
    Check the attributes and the JSON data of ``event``.

    Raises:
        Malformed: an attribute cannot be stored, compared or counted; the detail names it and its limit.
        Unstorable: the JSON data holds U+0000.
    """
    extensions = event.extensions
    if len(extensions) > EXTENSIONS_MAX:
        raise Malformed("bad-attribute", f"An event has at most {EXTENSIONS_MAX} extensions; put the rest into data.")
    chars = "".join((event.id, event.source, event.type, event.datacontenttype or "", *extensions.values()))
    chars += (event.subject or "") + (event.dataschema or "")
    if not (len(chars) <= ATTRIBUTE_BYTES and chars.isascii() and chars.isprintable()):  # nearly all events pass here
        _check_each(event)
    sequence = extensions.get("sequence")
    if sequence and not is_sequence(sequence):
        raise Malformed(
            "bad-attribute", f"sequence must be 1 to {SEQUENCE_DIGITS} ASCII digits of a number up to {SEQUENCE_MAX}."
        )
    if event.time is not None and not EARLIEST <= event.time <= LATEST:
        raise Malformed(
            "bad-time",
            "time is too close to the first or last day of the years 1 to 9999. Send a time that can be stored.",
        )
    if event.data and b"\\u0000" in event.data and "json" in (event.datacontenttype or "json").lower():
        check_json(event.data)


def check_json(body: bytes) -> None:
    """
    Check a JSON body for U+0000, which no text column can store.

    Raises:
        Unstorable: a string at any depth, or a member's name, holds U+0000.
    """
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        raise Unstorable("unstorable", "The JSON has the character U+0000, which cannot be stored. Remove it.")


def check_query(query: str) -> None:
    """
    Check a query string for U+0000.

    Args:
        query: raw, percent-encoded.

    Raises:
        Unstorable: the query holds U+0000.
    """
    if "%00" in query or "\0" in query:
        raise Unstorable("unstorable", "The query has the character U+0000 (%00), which cannot be stored. Remove it.")


def _check_each(event: "CloudEvent") -> None:
    for name in ("id", "source", "type", "subject", "dataschema", "datacontenttype"):
        _check_attribute(name, getattr(event, name) or "", ATTRIBUTE_BYTES)
    for name, value in event.extensions.items():
        _check_attribute(name, value, ATTRIBUTE_BYTES if name in _INDEXED else EXTENSION_BYTES)


def _check_attribute(name: str, value: str, bytes_max: int) -> None:
    if not is_clean(value):
        raise Malformed("bad-attribute", f"{name[:40]} has a control character or a lone surrogate. Remove it.")
    if not is_within(value, bytes_max):
        raise Malformed("bad-attribute", f"{name[:40]} has more than {bytes_max} bytes of UTF-8. Send a shorter text.")
