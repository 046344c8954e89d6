"""
What text may hold: every character of Unicode but control characters and lone surrogates.

Joiners (ZWJ, ZWNJ) are parts of words in Persian, Hindi and emoji; no-break and ideographic spaces are spaces.
Bounds of text count characters (code points); a limit of bytes made for it allows 4 of them each.
"""

import re
from typing import Final

CONTROL: Final = r"\x00-\x1f\x7f-\x9f"  # for a class of a pattern
BYTES_MAX: Final = 4  # of one character in UTF-8
_REFUSED: Final = re.compile(rf"[{CONTROL}\ud800-\udfff]")


def is_text(given: str, most: int) -> bool:
    """Whether it is one line of at most ``most`` characters that can be stored, compared and shown."""
    return len(given) <= most and _REFUSED.search(given) is None
