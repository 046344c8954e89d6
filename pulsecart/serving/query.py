"""
Parses query parameters by one rule for all routes: the last of repeated ones counts, blank ones are absent.

Numbers are ASCII digits as in JSON: no sign, no leading zeros, no more digits than the maximum has.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from pulsecart.runtime.problem import Malformed

NUMBER_MAX: Final = 32  # characters of a decimal; the longest double in JSON has 24
_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def parameters(query: str, *, blank: bool = False) -> dict[str, str]:
    """
    Return the decoded parameters, name → value; spaces are part of a value.

    Args:
        blank: keep parameters without a value, for routes where a default in their place would do harm.
    """
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=blank).items()}


def parse_integer(text: str, most: int, least: int = 0) -> int | None:
    """Parse a whole number from ``least`` to ``most``, checking its length before conversion; None if invalid."""
    if len(text) > len(str(most)) or _WHOLE.fullmatch(text) is None:
        return None
    number = int(text)
    return number if least <= number <= most else None


def decimal(text: str, most: float) -> float | None:
    """Parse a number from 0 to ``most``; None if invalid."""
    if len(text) > NUMBER_MAX or _DECIMAL.fullmatch(text) is None:
        return None
    number = float(text)
    return number if number <= most else None


def page_limit(given: Mapping[str, str], most: int, default: int | None = None) -> int:
    """
    Return how many entries a page of a list has, from ``limit=``: 1 to ``most``, by default ``default`` or ``most``.

    Raises:
        Malformed: it is no such number.
    """
    limit = parse_integer(given.get("limit", str(most if default is None else default)), most, 1)
    if limit is None:
        raise Malformed("limit-malformed", f"limit= must be a whole number from 1 to {most}, without leading zeros.")
    return limit


def cursor_malformed() -> Malformed:
    """Return the problem for a ``cursor=`` that no page of the list had."""
    return Malformed("cursor-malformed", "cursor= must be the member next of the previous page.")
