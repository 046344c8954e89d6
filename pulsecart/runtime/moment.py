"""Moments that come from outside: only of years that everything here can keep, compare and write."""

import re
from datetime import UTC, datetime

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
AFTER_LAST = datetime(3000, 1, 1, tzinfo=UTC)
YEARS = "of the years 2000 to 2999, in UTC"
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]{1,100}))?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII | re.IGNORECASE,
)


def is_kept(at: datetime) -> bool:
    """Whether it has a zone and is one of YEARS. Python's own years end in the midst of a day of another zone."""
    return at.tzinfo is not None and FIRST <= at < AFTER_LAST


def of_rfc3339(text: str) -> datetime | None:
    """
    The moment that RFC 3339 text names, in UTC, without what is shorter than a microsecond; None where it names none.

    Python has no 61st second: a leap second, which only ends a day of UTC, is the microsecond before the next day.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    date, minute, second, fraction, offset = match.groups(default="")
    leap = second == "60"
    second = "59.999999" if leap else f"{second}.{fraction[:6]:0<6}"
    try:
        at = datetime.fromisoformat(f"{date}T{minute}:{second}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if leap and (at.hour, at.minute) != (23, 59) else at
