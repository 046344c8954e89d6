"""Defines the data of the events about stock."""

from typing import Annotated

from msgspec import Meta

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Id, Units, Word


class StockAdjusted(Message, frozen=True, kw_only=True):
    """``delta`` changes ``available``; ``reservations`` are the claims given back when ``reason`` is RELEASED."""

    TYPE = "ecommerce.inventory.stock.adjusted.v1"
    productId: Id
    delta: Units
    available: Annotated[int, Meta(ge=0, lt=2**31)]
    reason: Word
    reservations: list[Id] = []  # noqa: RUF012 - a Struct copies it
