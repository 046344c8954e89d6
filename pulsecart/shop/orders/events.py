"""Builds the event messages for the steps of an order."""

from datetime import datetime

from pulsecart.runtime.event import rfc3339
from pulsecart.shop.messages import Line, OrderCanceled, OrderConfirmed, OrderCreated, OrderFulfilled, OrderPaid
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.orders.order import Order


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
