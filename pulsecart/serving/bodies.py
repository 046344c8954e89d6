"""Request bodies, decoded and checked once: what is wrong with one is said with the place and the reason."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from pulsecart.runtime.bounds import check_json
from pulsecart.runtime.moment import YEARS, is_kept
from pulsecart.runtime.problem import Malformed
from pulsecart.runtime.text import CONTROL
from pulsecart.shop.currencies import DIGITS
from pulsecart.shop.money import PRICE_MINOR_MAX, decimal_amount, is_currency, minor_amount

# Patterns end in $(?!\n): in Python a $ alone also matches before a last newline.
ID_MAX = 64
Id = (
    Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=r"^[\x21-\x7e]+$(?!\n)")]
    | Annotated[int, Meta(ge=0, lt=10**15)]
)
Quantity = Annotated[int, Meta(ge=1, le=1000)]
Price = Annotated[float, Meta(ge=0, le=10**9)]
LINES_MAX = 20
DEPTH_MAX = 16
VALUES_MAX = 4096


class PurchaseBody(Struct, frozen=True):
    """Of one product; ids are strings or numbers. At another price than ``expectedPrice`` nothing is bought."""

    productId: Id
    userId: Id
    quantity: Quantity = 1
    expectedPrice: Price | None = None


class LineBody(Struct, frozen=True):
    productId: Id
    qty: Quantity
    expectedPrice: Price | None = None


class OrderBody(Struct, frozen=True):
    userId: Id
    items: Annotated[list[LineBody], Meta(min_length=1, max_length=LINES_MAX)]


Sku = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$(?!\n)")]
NAME_MAX = 200
Name = Annotated[
    str,
    Meta(min_length=1, max_length=NAME_MAX, pattern=rf"^[^{CONTROL}]*[^{CONTROL}\s][^{CONTROL}]*$(?!\n)"),
]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
CATEGORY_MAX = 64
Category = Annotated[str, Meta(max_length=CATEGORY_MAX, pattern=rf"^[^{CONTROL}]*$(?!\n)")]
Moment = Annotated[datetime, Meta(tz=True, description=f"RFC 3339 with its zone, {YEARS}.")]
Currency = Annotated[str, Meta(min_length=3, max_length=3, extra_json_schema={"enum": sorted(DIGITS)})]


class ProductBody(Struct, frozen=True):
    """``price`` is a decimal in ``currency``; a member left out is empty."""

    sku: Sku
    name: Name
    price: Price
    currency: Currency = "USD"
    description: Text = ""
    category: Category = ""

    def __post_init__(self) -> None:
        check_currency(self.currency)


class SaleBody(Struct, frozen=True):
    """
    ``startsAt`` absent or past: at once. ``units``: what is on the shelf then; absent: as it is. ``buyerLimit``: units
    that one buyer may have in this sale; 0 or absent: no limit but the product's own.
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
    """``endsAt`` now or past ends it."""

    price: Price | None = None
    endsAt: Moment | None = None

    def __post_init__(self) -> None:
        _check_moments(endsAt=self.endsAt)


def _check_moments(**given: datetime | None) -> None:
    """
    Raises:
        Malformed: one is of a year that not all who read it can keep.
    """
    for name, at in given.items():
        if at is not None and not is_kept(at):
            raise Malformed("moment-malformed", f"{name} is {YEARS}.")


def check_currency(code: str) -> None:
    """
    Raises:
        Malformed: nothing can cost so much of it.
    """
    if not is_currency(code):
        raise Malformed("currency-malformed", "currency is a code of ISO 4217 that has a minor unit, e.g. EUR.")


def exact_minor(amount: float, currency: str, what: str = "price") -> int:
    """
    Raises:
        Malformed: the currency has no such fraction.
    """
    minor = minor_amount(amount, currency)
    if decimal_amount(minor, currency) != amount:
        raise Malformed("amount-not-exact", f"{what} {amount} is no whole number of {currency}'s smallest unit.")
    return minor


def exact_price(amount: float, currency: str) -> int:
    """
    What one unit costs.

    Raises:
        Malformed: the currency has no such fraction, or it is more than an order can be charged.
    """
    minor = exact_minor(amount, currency)
    if minor > PRICE_MINOR_MAX:
        most = decimal_amount(PRICE_MINOR_MAX, currency)
        raise Malformed("amount-too-large", f"A price in {currency} is at most {most:.0f}.")
    return minor


def names_somebody(text: str) -> bool:
    """Whether ``text`` could stand in a body as an Id: where an id comes in a query, or in a token."""
    return len(text) <= ID_MAX and re.fullmatch(r"[\x21-\x7e]+", text) is not None


Body = TypeVar("Body")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoded(body: bytes, kind: type[Body]) -> Body:
    """
    Raises:
        Malformed: not JSON, too deep, of too many values, or not of this shape.
        Unstorable: it holds U+0000, in whatever member.
    """
    check_extent(body)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        result: Body = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed("body-invalid", f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("body-not-json", f"The body is not JSON: {error}.") from None
    check_json(body)
    return result


def check_extent(body: bytes) -> None:
    """
    Refuse what is nested deeper than DEPTH_MAX or has more than VALUES_MAX values, whether anybody wants them or not.
    Brackets and commas are counted first: almost no body has so many, those in its strings included.

    Raises:
        Malformed: it is one of those.
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX and body.count(b",") + body.count(b":") < VALUES_MAX:
        return
    try:
        level: list[Any] = [msgspec.json.decode(body)]
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # whoever decodes it says what is wrong
    depth = values = 0
    while level := [part for value in level for part in _parts(value)]:
        depth += 1
        values += len(level)
        if depth > DEPTH_MAX:
            raise _too_deep()
        if values > VALUES_MAX:
            raise Malformed("body-too-long", f"The body has more than {VALUES_MAX} values.")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> Malformed:
    return Malformed("body-too-deep", f"The body is nested deeper than {DEPTH_MAX} levels.")
