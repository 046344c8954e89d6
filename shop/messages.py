"""What flows: the data of every event, one type each. The JSON Schemas under ``contracts/`` say the same in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from shop.bounds import AMOUNT_MAX
from shop.event import CloudEvent, Identity, new_id, padded, schema_of

# Checked when an event is read, so that one bad event cannot fail others that share its transaction. The schemas have
# the same bounds (shop.bounds says why). A $ alone also matches before a last newline, in Python.
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
Word = Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Title = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX)]
Units = Annotated[int, Meta(ge=-(2**31), lt=2**31)]

_encode = msgspec.json.Encoder().encode
_schema_of = cache(schema_of)


class Message(Struct, frozen=True, kw_only=True):
    """Data of one event type; ``TYPE`` is the CloudEvent's ``type``, and never changes its meaning."""

    TYPE: ClassVar[str]


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
    reservations: list[Id] = []


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
    """A sale to come, as it is planned now; said again where that changes before it begins."""

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
    """A version of a product, the first and the last included; ``price`` is the list price of one unit."""

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


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something happens: what its events carry as ``correlationid``, ``causationid`` and ``traceparent``."""

    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    causation_source: str | None = None

    @classmethod
    def of(cls, event: CloudEvent) -> "Cause":
        """The cause of what a consumer of ``event`` does."""
        named = event.extensions.get
        return cls(named("correlationid"), event.id, named("traceparent"), event.source)

    @property
    def event(self) -> Identity | None:
        """The event that caused it; None where a request did."""
        return Identity(self.causation_source or "", self.causation_id) if self.causation_id else None


def enveloped(
    message: Message,
    *,
    source: str,
    key: str,
    sequence: int,
    time: datetime,
    cause: Cause,
    extensions: Mapping[str, str],
) -> CloudEvent:
    """The CloudEvent that carries ``message``; ``key`` is its aggregate's id, ``sequence`` the aggregate's version."""
    named = {"partitionkey": key, "sequence": padded(sequence), **extensions}
    if cause.correlation_id:
        named["correlationid"] = cause.correlation_id
    if cause.causation_id:
        named["causationid"] = cause.causation_id
    if cause.traceparent:
        named["traceparent"] = cause.traceparent
    return CloudEvent(
        id=new_id(),
        source=source,
        type=message.TYPE,
        time=time,
        subject=key,
        dataschema=_schema_of(message.TYPE),
        data=_encode(message),
        extensions=named,
    )
