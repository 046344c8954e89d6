"""Defines the data of the events about orders, and builds them from an order."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from pulsecart.runtime.event import Message, rfc3339
from pulsecart.shop.event_fields import Amount, Id, Word
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.orders.order import Order


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


def created(order: Order) -> OrderCreated:
    return OrderCreated(
        orderId=order.order_id,
        userId=order.buyer_id,
        totalAmount=decimal_amount(order.total_minor, order.currency),
        currency=order.currency,
        items=[
            Line(productId=line.product_id, qty=line.qty, price=decimal_amount(line.price_minor, order.currency))
            for line in order.lines
        ],
        status=order.status,
        path=order.path,
    )


def confirmed(order: Order, pay_by: datetime) -> OrderConfirmed:
    return OrderConfirmed(
        orderId=order.order_id,
        userId=order.buyer_id,
        totalAmount=decimal_amount(order.total_minor, order.currency),
        currency=order.currency,
        payBy=rfc3339(pay_by),
    )


def paid(order: Order, payment_id: str) -> OrderPaid:
    return OrderPaid(
        orderId=order.order_id,
        userId=order.buyer_id,
        totalAmount=decimal_amount(order.total_minor, order.currency),
        currency=order.currency,
        paymentId=payment_id,
    )


def fulfilled(order: Order) -> OrderFulfilled:
    return OrderFulfilled(orderId=order.order_id, userId=order.buyer_id)


def canceled(order: Order, previous: str) -> OrderCanceled:
    return OrderCanceled(
        orderId=order.order_id, userId=order.buyer_id, reason=order.cancel_reason or "", previousStatus=previous
    )
