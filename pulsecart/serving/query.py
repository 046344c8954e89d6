"""
A request's query, read by one rule for all routes: the last of several, and what is blank is absent.

Numbers are ASCII digits as JSON writes them: no sign, no leading zeros, no more digits than the greatest one has.
"""

import re
from typing import Final
from urllib.parse import parse_qs

NUMBER_MAX: Final = 32  # characters of a decimal; the longest that JSON writes of a double has 24
_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def parameters(query: str, *, blank: bool = False) -> dict[str, str]:
    """
    Name → value, decoded, as it stands: spaces belong to it.

    Args:
        blank: keep those without a value, where a default instead of them would do harm.
    """
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=blank).items()}


def whole(text: str, most: int, least: int = 0) -> int | None:
    """``text`` as a whole number from ``least`` to ``most``; None where it is none. Bounded before it is converted."""
    if len(text) > len(str(most)) or _WHOLE.fullmatch(text) is None:
        return None
    number = int(text)
    return number if least <= number <= most else None


def decimal(text: str, most: float) -> float | None:
    """``text`` as a number from 0 to ``most``; None where it is none."""
    if len(text) > NUMBER_MAX or _DECIMAL.fullmatch(text) is None:
        return None
    number = float(text)
    return number if number <= most else None
