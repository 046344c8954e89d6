"""Defines the data of the events about flash sales."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Amount, Id, Word


class FlashSaleScheduled(Message, frozen=True, kw_only=True):
    """A planned sale with its current terms; published again when they change before the sale begins."""

    TYPE = "ecommerce.pricing.flash_sale.scheduled.v1"
    saleId: Id
    productId: Id
    price: Amount
    currency: Word
    startsAt: Word
    endsAt: Word


class FlashSaleStarted(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.started.v1"
    saleId: Id
    productId: Id
    price: Amount
    currency: Word
    startsAt: Word
    endsAt: Word


class FlashSaleChanged(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.changed.v1"
    saleId: Id
    productId: Id
    price: Amount
    currency: Word
    startsAt: Word
    endsAt: Word


class FlashSaleEnded(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.ended.v1"
    saleId: Id
    productId: Id
