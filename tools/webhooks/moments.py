"""Parses the moments that a command takes."""

import re
from datetime import datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"([0-9]{1,6})([smhd])")


def since_of(text: str, now: datetime) -> datetime:
    """
    Return the moment of ``90m`` (so long ago) or ``2026-11-30T08:00:00Z``.

    Raises:
        ValueError: it is neither; the message states both forms.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError("give a time with its zone, like 2026-11-30T08:00:00Z, or how long ago, like 90m, 2h or 1d")
    return at
