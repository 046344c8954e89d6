"""Defines the request bodies of orders."""

from typing import Annotated

from msgspec import Meta, Struct

from pulsecart.serving.bodies import LINES_MAX, Id, Price, Quantity


class PurchaseBody(Struct, frozen=True):
    """A purchase of one product; ids are strings or numbers. If the price is not ``expectedPrice``, it is refused."""

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
