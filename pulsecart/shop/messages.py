"""Defines the data of every event, one type each. The JSON Schemas under ``contracts/`` describe the same in full."""

from typing import Annotated

from msgspec import Meta, Struct

from pulsecart.runtime.bounds import AMOUNT_MAX
from pulsecart.runtime.event import Message

# Checked when an event is read, so that one bad event cannot fail others that share its transaction. The schemas have
# the same bounds (pulsecart.runtime.bounds gives the reason). In Python, a $ alone also matches before a last newline.
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
Word = Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Title = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX)]
Units = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class Line(Struct, frozen=True, kw_only=True):
    """One product of an order; ``price`` is per unit, a decimal in the order's currency."""

    productId: Id
    qty: Annotated[int, Meta(ge=1, le=1_000_000)]
    price: Amount


class OrderCreated(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.created.v1"
    orderId: Id
    userId: Id
    totalAmount: Amount
    currency: Word
    items: list[Line]
    status: Word
    path: Word


class OrderConfirmed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.confirmed.v1"
    orderId: Id
    userId: Id
    totalAmount: Amount
    currency: Word
    payBy: Word


class OrderPaid(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.paid.v1"
    orderId: Id
    userId: Id
    totalAmount: Amount
    currency: Word
    paymentId: Id


class OrderFulfilled(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.fulfilled.v1"
    orderId: Id
    userId: Id


class OrderCanceled(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.canceled.v1"
    orderId: Id
    userId: Id
    reason: Word
    previousStatus: Word


class StockAdjusted(Message, frozen=True, kw_only=True):
    """``delta`` changes ``available``; ``reservations`` are the claims given back when ``reason`` is RELEASED."""

    TYPE = "ecommerce.inventory.stock.adjusted.v1"
    productId: Id
    delta: Units
    available: Annotated[int, Meta(ge=0, lt=2**31)]
    reason: Word
    reservations: list[Id] = []  # noqa: RUF012 - a Struct copies it


class PaymentFailed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.payment.failed.v1"
    orderId: Id
    paymentId: Id
    reason: Word


class RefundRequested(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.refund.requested.v1"
    orderId: Id
    paymentId: Id
    amount: Amount
    currency: Word
    reason: Word


class PaymentRefunded(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.payment.refunded.v1"
    orderId: Id
    paymentId: Id
    amount: Amount
    currency: Word


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


class ProductUpdated(Message, frozen=True, kw_only=True):
    """A version of a product, including its first and its last; ``price`` is the list price of one unit."""

    TYPE = "ecommerce.product.product.updated.v1"
    productId: Id
    sku: Word
    name: Title
    description: Text
    category: Word
    price: Amount
    currency: Word
    status: Word


MESSAGES: tuple[type[Message], ...] = (
    OrderCreated,
    OrderConfirmed,
    OrderPaid,
    OrderFulfilled,
    OrderCanceled,
    StockAdjusted,
    PaymentFailed,
    RefundRequested,
    PaymentRefunded,
    FlashSaleScheduled,
    FlashSaleStarted,
    FlashSaleChanged,
    FlashSaleEnded,
    ProductUpdated,
)
