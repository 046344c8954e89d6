"""Moments that come from outside: only of years that everything here can keep, compare and write."""

from datetime import UTC, datetime

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
AFTER_LAST = datetime(3000, 1, 1, tzinfo=UTC)
YEARS = "of the years 2000 to 2999, in UTC"


def is_kept(at: datetime) -> bool:
    """Whether it has a zone and is one of YEARS. Python's own years end in the midst of a day of another zone."""
    return at.tzinfo is not None and FIRST <= at < AFTER_LAST
