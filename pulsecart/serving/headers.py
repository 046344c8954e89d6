"""Reads a request's header fields, the same way in every adapter: each name once, in lower case (RFC 9110 §5)."""

from collections.abc import Iterable, Sequence

from pulsecart.runtime.problem import Malformed

Raw = Sequence[tuple[bytes, bytes]]
FIELDS_MAX = 100

# Fields with one value (RFC 9110, 9112, 6454, 6455; W3C Trace Context; ours). A request that repeats one is rejected:
# the two lines contradict each other, and a proxy in front of the shop may use the other one.
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
    Decode and combine header fields.

    Args:
        raw: fields as in ASGI: names in lower case, in order of arrival.

    Returns:
        Name → value, decoded as ISO 8859-1; the lines of a list are joined by a comma, those of Cookie by a semicolon.

    Raises:
        Malformed: a single-valued field is repeated.
    """
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return found if len(found) == len(raw) else fields_of(combined(raw))


def combined(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    Combine repeated fields; each name stays at the place of its first line.

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
