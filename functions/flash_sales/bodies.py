"""Defines the request bodies of flash sales."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from pulsecart.runtime.moment import YEARS, is_kept
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.bodies import Id, Price

Moment = Annotated[datetime, Meta(tz=True, description=f"RFC 3339 with its zone, {YEARS}.")]


class SaleBody(Struct, frozen=True):
    """
    ``startsAt``: absent or past starts the sale at once. ``units``: sets the available units; absent keeps them.
    ``buyerLimit``: units that one buyer may have in this sale; 0 or absent: only the product's own limit applies.
    """

    productId: Id
    price: Price
    endsAt: Moment
    startsAt: Moment | None = None
    units: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    buyerLimit: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None

    def __post_init__(self) -> None:
        _check_moments(startsAt=self.startsAt, endsAt=self.endsAt)


class SaleChangeBody(Struct, frozen=True):
    """``endsAt``: now or in the past ends the sale."""

    price: Price | None = None
    endsAt: Moment | None = None

    def __post_init__(self) -> None:
        _check_moments(endsAt=self.endsAt)


def _check_moments(**given: datetime | None) -> None:
    """
    Raises:
        Malformed: a year is outside the range that every reader can store.
    """
    for name, at in given.items():
        if at is not None and not is_kept(at):
            raise Malformed("moment-malformed", f"{name} must be a time {YEARS}.")
