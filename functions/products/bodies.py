"""Defines the request body of a product."""

from typing import Annotated

from msgspec import Meta, Struct

from pulsecart.runtime.text import CONTROL
from pulsecart.serving.bodies import Price
from pulsecart.shop.currencies import DIGITS
from pulsecart.shop.money import check_currency

Sku = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$(?!\n)")]
NAME_MAX = 200
Name = Annotated[
    str,
    Meta(min_length=1, max_length=NAME_MAX, pattern=rf"^[^{CONTROL}]*[^{CONTROL}\s][^{CONTROL}]*$(?!\n)"),
]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
CATEGORY_MAX = 64
Category = Annotated[str, Meta(max_length=CATEGORY_MAX, pattern=rf"^[^{CONTROL}]*$(?!\n)")]
Currency = Annotated[str, Meta(min_length=3, max_length=3, extra_json_schema={"enum": sorted(DIGITS)})]


class ProductBody(Struct, frozen=True):
    """``price`` is a decimal in ``currency``; an omitted text member is empty."""

    sku: Sku
    name: Name
    price: Price
    currency: Currency = "USD"
    description: Text = ""
    category: Category = ""

    def __post_init__(self) -> None:
        check_currency(self.currency)
