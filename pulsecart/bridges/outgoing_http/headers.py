"""Checks the headers that a caller sends: none may end another header, or change the connection."""

import re
from collections.abc import Sequence

from pulsecart.bridges.outgoing_http.results import NotAllowed

# They belong to the connection, not to the caller.
OWN = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


def check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """
    Check names and values.

    Raises:
        NotAllowed: a name is no token or is one of OWN, or a value is not printable ASCII.
    """
    for name, value in headers:
        if not _NAME.fullmatch(name) or name.lower() in OWN:
            raise NotAllowed("header", f"The header {name[:40]!r} must not be set. Remove it.")
        if not _VALUE.fullmatch(value):
            raise NotAllowed("header", f"The header {name[:40]!r} must have printable ASCII characters only.")
