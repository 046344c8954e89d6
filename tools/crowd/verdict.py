"""Classifies the answer to a purchase from the buyer's view."""

from enum import Enum

import msgspec


class Verdict(Enum):
    SOLD = "sold"
    ACCEPTED = "accepted"
    SOLD_OUT = "sold out"
    LIMITED = "limited"
    IN_FLIGHT = "in flight"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    BROKEN = "broken"


class Body(msgspec.Struct):
    """The members used here, of a success and of a problem."""

    orderId: str | int = ""
    type: str = ""


_decode = msgspec.json.Decoder(Body).decode
_REFUSALS = {"sold-out": Verdict.SOLD_OUT, "limit-reached": Verdict.LIMITED, "request-in-flight": Verdict.IN_FLIGHT}
_ORDERS = {200: Verdict.SOLD, 202: Verdict.ACCEPTED}


def read(status: int, body: bytes) -> tuple[Verdict, str]:
    """Return the verdict, and the order's id if there is one. BROKEN: a 5xx, or a success without an order."""
    if status in (429, 503):
        return Verdict.UNAVAILABLE, ""
    try:
        decoded = _decode(body)
    except msgspec.DecodeError:
        return Verdict.BROKEN, ""
    if status in _ORDERS:
        return (_ORDERS[status], str(decoded.orderId)) if decoded.orderId else (Verdict.BROKEN, "")
    if status == 409:
        return _REFUSALS.get(decoded.type.rpartition("/")[2], Verdict.REFUSED), ""
    return (Verdict.BROKEN if status >= 500 else Verdict.REFUSED), ""
