"""What flows: the data of every event, one type each. The JSON Schemas under ``contracts/`` say the same in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from shop.event import CloudEvent, Identity, new_id, padded, schema_of

# Checked when an event is read, so that one bad event cannot fail others that share its transaction. A $ alone
# also matches before a last newline, in Python.
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]

_encode = msgspec.json.Encoder().encode
_schema_of = cache(schema_of)


class Message(Struct, frozen=True, kw_only=True):
    """Data of one event type; ``TYPE`` is the CloudEvent's ``type``, and never changes its meaning."""

    TYPE: ClassVar[str]


class Line(Struct, frozen=True, kw_only=True):
    """One product of an order; ``price`` is per unit, a decimal in the order's currency."""

    productId: Id
    qty: int
    price: float


class OrderCreated(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.created.v1"
    orderId: Id
    userId: Id
    totalAmount: float
    currency: str
    items: list[Line]
    status: str
    path: str


class OrderConfirmed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.confirmed.v1"
    orderId: Id
    userId: Id
    totalAmount: float
    currency: str
    payBy: str


class OrderPaid(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.paid.v1"
    orderId: Id
    userId: Id
    totalAmount: float
    currency: str
    paymentId: Id


class OrderFulfilled(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.fulfilled.v1"
    orderId: Id
    userId: Id


class OrderCanceled(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.order.order.canceled.v1"
    orderId: Id
    userId: Id
    reason: str
    previousStatus: str


class StockAdjusted(Message, frozen=True, kw_only=True):
    """``delta`` changes ``available``; ``reservations`` are the claims given back when ``reason`` is RELEASED."""

    TYPE = "ecommerce.inventory.stock.adjusted.v1"
    productId: Id
    delta: int
    available: int
    reason: str
    reservations: list[Id] = []


class PaymentFailed(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.payment.failed.v1"
    orderId: Id
    paymentId: Id
    reason: str


class RefundRequested(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.refund.requested.v1"
    orderId: Id
    paymentId: Id
    amount: float
    currency: str
    reason: str


class PaymentRefunded(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.payment.payment.refunded.v1"
    orderId: Id
    paymentId: Id
    amount: float
    currency: str


class FlashSaleScheduled(Message, frozen=True, kw_only=True):
    """A sale to come, as it is planned now; said again where that changes before it begins."""

    TYPE = "ecommerce.pricing.flash_sale.scheduled.v1"
    saleId: Id
    productId: Id
    price: float
    currency: str
    startsAt: str
    endsAt: str


class FlashSaleStarted(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.started.v1"
    saleId: Id
    productId: Id
    price: float
    currency: str
    startsAt: str
    endsAt: str


class FlashSaleChanged(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.changed.v1"
    saleId: Id
    productId: Id
    price: float
    currency: str
    startsAt: str
    endsAt: str


class FlashSaleEnded(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.pricing.flash_sale.ended.v1"
    saleId: Id
    productId: Id


class ProductUpdated(Message, frozen=True, kw_only=True):
    """A version of a product, the first and the last included; ``price`` is the list price of one unit."""

    TYPE = "ecommerce.product.product.updated.v1"
    productId: Id
    sku: str
    name: str
    description: str
    category: str
    price: float
    currency: str
    status: str


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
