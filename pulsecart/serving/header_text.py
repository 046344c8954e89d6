"""
Encodes text in HTTP headers as CloudEvents' binary mode does: percent-encoded UTF-8 (HTTP protocol binding, 3.1.3.2).

The SDKs for Go (2.16), JavaScript (10.0) and Python before 2.0 send attributes without encoding them.
"""

import re
from urllib.parse import quote, unquote_to_bytes

from pulsecart.runtime.problem import Malformed

_SAFE = re.compile(r"[!#$&-~]*")  # U+0021 to U+007E without double quote and percent sign
_SAFE_TOO = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def encode(text: str) -> str:
    """Encode a header's value as printable ASCII without space, double quote and bare percent sign."""
    return text if _SAFE.fullmatch(text) else quote(text, safe=_SAFE_TOO)


def decode(name: str, value: str) -> str:
    """
    Decode the value of header ``name``: percent-encoded, in double quotes (CloudEvents before 1.0.1), or plain UTF-8.

    Args:
        value: the ASGI bytes decoded as latin-1.

    Raises:
        Malformed: the value has none of these forms; latin-1, for example.
    """
    if value[:1] == '"' == value[-1:] and len(value) > 1:
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value and value.isascii():
        return value
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise Malformed("bad-header", f"{name} is neither percent-encoded UTF-8 nor plain UTF-8.") from None
