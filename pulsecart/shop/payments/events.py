"""Defines the data of the events about payments."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Amount, Id, Word


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
