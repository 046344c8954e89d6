"""The header fields of a request, read the same way by every entrance: each name once, in lower case (RFC 9110 §5)."""

from collections.abc import Iterable, Sequence

from pulsecart.runtime.problem import Malformed

Raw = Sequence[tuple[bytes, bytes]]
FIELDS_MAX = 100

# Fields with one value (RFC 9110, 9112, 6454, 6455; W3C Trace Context; ours). Two lines of one of these contradict each
# other, and whoever stands before the shop may believe the other one: the request is refused.
SINGLE = frozenset(
    b"""
    access-control-request-method authorization content-disposition content-length content-location content-range
    content-type correlation-id date from host idempotency-key if-modified-since if-range if-unmodified-since
    last-event-id max-forwards origin proxy-authorization range referer request-timeout sec-fetch-dest sec-fetch-mode
    sec-fetch-site sec-fetch-user sec-websocket-key sec-websocket-version traceparent upgrade-insecure-requests
    user-agent webhook-id webhook-request-callback webhook-request-origin webhook-request-rate webhook-timestamp
    x-bv-signature x-requested-with
    """.split()
)
EVENT_ATTRIBUTE = b"ce-"
COOKIE = b"cookie"


def fields_of(raw: Raw) -> dict[str, str]:
    """
    Args:
        raw: as ASGI gives them: names in lower case, in the order in which they came.

    Returns:
        Name → value, decoded as ISO 8859-1; the lines of a list are joined by a comma, those of Cookie by a semicolon.

    Raises:
        Malformed: a field that has one value came twice.
    """
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return found if len(found) == len(raw) else fields_of(combined(raw))


def combined(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    The same fields, each name once, at the place of its first line.

    Raises:
        Malformed: as ``fields_of``.
    """
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        if name not in found:
            found[name] = value
        elif name in SINGLE or name.startswith(EVENT_ATTRIBUTE):
            raise Malformed("header-repeated", f"Send the header {name[:64].decode('latin-1')} once.")
        else:
            found[name] += (b"; " if name == COOKIE else b", ") + value
    return list(found.items())
