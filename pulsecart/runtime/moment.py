"""Validates timestamps from outside: accepts only years that every component can store, compare and write."""

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
    """
    Return whether ``at`` is aware and within YEARS.

    Python's own range is not enough: it ends within a day when converted to another time zone.
    """
    return at.tzinfo is not None and FIRST <= at < AFTER_LAST


def of_rfc3339(text: str) -> datetime | None:
    """
    Parse RFC 3339 text into UTC, truncated to microseconds; return None if the text is invalid.

    Python has no 61st second: a leap second, valid only at the end of a UTC day, becomes the day's last microsecond.
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
