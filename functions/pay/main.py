"""order.confirmed.v1 → charged: order.paid · declined: payment.failed, order.canceled · too late: refund.requested"""

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from runtime.bodies import decoded
from runtime.deps import Deps
from runtime.http import Reply, Request
from runtime.serve import Received, get, on, operation, put
from runtime.watch import metrics
from runtime.watch.tracing import span
from shop import announce
from shop.db import orders, payments
from shop.db.payments import Payment
from shop.db.pool import Tx
from shop.gateway import Charge, GatewayTimeout, Mode, SimulatedGateway
from shop.messages import OrderCanceled, OrderConfirmed, OrderPaid, PaymentFailed, RefundRequested, StockAdjusted
from shop.order import Order
from shop.problem import Forbidden, Unprocessable

GATEWAY_S = 10.0  # then its answer counts as lost
REASONS = {"DECLINED": ("DECLINED", "PAYMENT_DECLINED"), "VOIDED": ("TIMEOUT", "PAYMENT_FAILED")}


async def charge(event: Received[OrderConfirmed], deps: Deps) -> None:
    """
    Take the money once, whatever happens in between: the payment's id is the gateway's idempotency key.

    Raises:
        GatewayTimeout, GatewayDown: the broker comes again, with the same key.
    """
    async with deps.db.transaction() as tx:
        payment = await _intended(tx, event.data.orderId, deps.new_id())
    if payment is None:
        return
    answer = await _ask_gateway(payment, deps)
    async with deps.db.once(event.envelope) as tx:
        if not tx.seen:
            await _record(tx, event.data.orderId, answer)
    metrics.PAYMENTS.of(answer.status).add()


async def _intended(tx: Tx, order_id: str, payment_id: str) -> Payment | None:
    """The payment to ask for; None where nothing is to be paid, any more or again."""
    order = await orders.find(tx, order_id, lock=True)
    if order is None:
        raise Unprocessable("unknown-order", f"Order {order_id} was confirmed and is not there.")
    if order.status != "CONFIRMED":
        return None
    payment = await payments.intend(tx, order, payment_id)
    return payment if payment.status == "INTENDED" else None


async def _ask_gateway(payment: Payment, deps: Deps) -> Charge:
    with span("gateway.charge", attributes={"payment.id": payment.payment_id}):
        try:
            async with asyncio.timeout(GATEWAY_S):
                gateway = SimulatedGateway(deps.db)
                return await gateway.charge(payment.payment_id, payment.amount_minor, payment.currency)
        except TimeoutError:
            raise GatewayTimeout("gateway-timeout", f"The gateway said nothing for {GATEWAY_S:.0f} s.") from None


async def _record(tx: Tx, order_id: str, answer: Charge) -> None:
    """What became of the order meanwhile decides what the answer means."""
    order = await orders.find(tx, order_id, lock=True)
    payment = await payments.find(tx, order_id)
    if order is None or payment is None or payment.status != "INTENDED":
        return  # recorded by another delivery, or returned by refund
    if answer.status != "REFUNDED":  # then refund, which returned it, records and tells it
        payment = await payments.settle(tx, payment, answer.status, answer.reference)
    if order.status == "CONFIRMED":
        await _go_on(tx, order, payment)
    elif payment.status == "CHARGED":
        await _ask_back(tx, order, payment)


async def _go_on(tx: Tx, order: Order, payment: Payment) -> None:
    if payment.status == "CHARGED":
        paid = await orders.step(tx, order, "PAID")
        tx.emit(announce.paid(paid, payment.payment_id), key=order.order_id, sequence=paid.version)
        return
    why, reason = REASONS[payment.status]
    failed = await payments.numbered(tx, order)
    told = PaymentFailed(orderId=order.order_id, paymentId=payment.payment_id, reason=why)
    tx.emit(told, key=order.order_id, sequence=failed.version)
    await orders.cancel(tx, failed, reason)


async def _ask_back(tx: Tx, order: Order, payment: Payment) -> None:
    order = await payments.numbered(tx, order)
    request = RefundRequested(
        orderId=order.order_id,
        paymentId=payment.payment_id,
        amount=payment.amount,
        currency=payment.currency,
        reason="LATE_CHARGE",
    )
    tx.emit(request, key=order.order_id, sequence=order.version)


class BehaviourBody(Struct, frozen=True):
    """``share`` of the payments meets ``mode``, always the same ones."""

    mode: Mode
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


async def behave(request: Request, deps: Deps) -> Reply:
    """Tell the simulated gateway how to behave; in the demo only."""
    _check_demo(deps)
    body = decoded(request.body, BehaviourBody)
    await SimulatedGateway(deps.db).behave(body.mode, body.share)
    return Reply(body=msgspec.json.encode(body))


async def behaviour(request: Request, deps: Deps) -> Reply:
    """How it was told to behave."""
    _check_demo(deps)
    mode, share = await SimulatedGateway(deps.db).behaviour()
    return Reply(body=msgspec.json.encode({"mode": mode, "share": share}))


def _check_demo(deps: Deps) -> None:
    if not deps.settings.accept_unsigned_buyers:
        raise Forbidden("demo-only", "The simulated gateway takes orders in the demo only (ACCEPT_UNSIGNED_BUYERS).")


pay = operation(
    "pay",
    routes=[put("/api/v1/payments/simulator", behave), get("/api/v1/payments/simulator", behaviour)],
    events=[on(OrderConfirmed, charge)],
    emits=[OrderCanceled, OrderPaid, PaymentFailed, RefundRequested, StockAdjusted],
)
