"""Returns the money of canceled orders: order.canceled, refund.requested → payment.refunded."""

import asyncio
import time
from dataclasses import replace

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.telemetry import metrics
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.events import OrderCanceled
from pulsecart.shop.orders.order import check_id
from pulsecart.shop.payments.calls import Failed, failed, result_of
from pulsecart.shop.payments.db import calls, payments
from pulsecart.shop.payments.db.calls import Begun, Ended
from pulsecart.shop.payments.db.payments import Payment
from pulsecart.shop.payments.events import PaymentRefunded, RefundRequested
from pulsecart.shop.payments.simulated_gateway import Charge, GatewayTimeout, SimulatedGateway

GATEWAY_S = 10.0  # after that the answer counts as lost
OPEN = frozenset({"INTENDED", "CHARGED"})  # the gateway has, or may have, charged the buyer


async def give_back(event: Received[OrderCanceled] | Received[RefundRequested], deps: Deps) -> None:
    """
    Refund a charged payment once; void one whose charge is unknown, so that it cannot be charged any more.

    Raises:
        GatewayTimeout, GatewayDown: the broker retries.
    """
    order_id = event.data.orderId
    check_id(order_id)
    if isinstance(event.data, OrderCanceled) and event.data.previousStatus == "PENDING":
        return  # never held stock, so it was never charged
    async with deps.db.transaction() as tx:
        payment = await _to_return(tx, order_id)
        if payment is not None:
            payment = replace(payment, call_id=deps.new_id())
            calls.begin(tx, [Begun(order_id, payment.call_id, _call(payment), event.envelope.identity)])
    if payment is None:
        return
    answer = await _ask_gateway(payment, deps)
    async with deps.db.once(event.envelope) as tx:
        calls.end(tx, [Ended(order_id, payment.call_id, answer.status)])
        if not tx.seen:
            await _record(tx, order_id, answer)


async def _to_return(tx: Tx, order_id: str) -> Payment | None:
    order = await orders.find(tx, order_id)
    payment = (await payments.of_orders(tx, [order_id])).get(order_id)
    if order is None or order.status != "CANCELED" or payment is None or payment.status not in OPEN:
        return None
    return payment


def _call(payment: Payment) -> str:
    return "refund" if payment.status == "CHARGED" else "void"


async def _ask_gateway(payment: Payment, deps: Deps) -> Charge:
    """Call the gateway; a failed attempt is counted, recorded on the order's passport, and raised."""
    call, began = _call(payment), time.perf_counter()
    try:
        with span("gateway.refund", attributes={"payment.id": payment.payment_id}):
            answer = await _answer(payment, deps)
    except (Exception, asyncio.CancelledError) as error:
        metrics.outside_call(call, result_of(error), began)
        await failed(deps.db, [Failed(payment.order_id, payment.call_id, call, error)])
        raise
    metrics.outside_call(call, answer.status, began)
    return answer


async def _answer(payment: Payment, deps: Deps) -> Charge:
    gateway = SimulatedGateway(deps.db)
    gateway_call = gateway.refund if payment.status == "CHARGED" else gateway.void
    try:
        async with asyncio.timeout(GATEWAY_S):
            return await gateway_call(payment.payment_id)
    except TimeoutError:
        raise GatewayTimeout(
            "gateway-timeout", f"The payment gateway did not answer within {GATEWAY_S:.0f} s."
        ) from None


async def _record(tx: Tx, order_id: str, answer: Charge) -> None:
    order = await orders.find(tx, order_id, lock=True)
    payment = (await payments.of_orders(tx, [order_id])).get(order_id)
    if order is None or payment is None or payment.status not in OPEN:
        return  # recorded by another delivery
    payment = replace(payment, status=answer.status)
    await payments.settle(tx, [(payment, answer.reference)])
    if payment.status == "REFUNDED":
        order = await payments.numbered(tx, order)
        refunded = PaymentRefunded(
            orderId=order_id, paymentId=payment.payment_id, amount=payment.amount, currency=payment.currency
        )
        tx.emit(refunded, key=order_id, sequence=order.version)


refund = operation(
    "refund", events=[on(OrderCanceled, give_back), on(RefundRequested, give_back)], emits=[PaymentRefunded]
)
