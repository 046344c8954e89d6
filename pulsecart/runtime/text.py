"""
Defines valid text: every Unicode character except control characters and lone surrogates.

Joiners (ZWJ, ZWNJ) are parts of words in Persian, Hindi and emoji; no-break and ideographic spaces are spaces.
Text limits count characters (code points); a byte limit derived from one allows 4 bytes per character.
"""

import re
from typing import Final

CONTROL: Final = r"\x00-\x1f\x7f-\x9f"  # the inside of a regular expression's character class
BYTES_MAX: Final = 4  # per character in UTF-8
_REFUSED: Final = re.compile(rf"[{CONTROL}\ud800-\udfff]")


def is_text(given: str, most: int) -> bool:
    """Return whether ``given`` is one line of at most ``most`` characters that can be stored, compared and shown."""
    return len(given) <= most and _REFUSED.search(given) is None
