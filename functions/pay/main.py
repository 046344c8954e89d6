"""
Charges confirmed orders: order.confirmed or POST orders/{id}/pay → order.paid, order.canceled or refund.requested.

A declined payment cancels the order; a charge that arrives after a cancellation requests a refund.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Refused
from pulsecart.runtime.telemetry import metrics
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.serving.access import DEMO, OWNER
from pulsecart.serving.bodies import decoded
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import check
from pulsecart.serving.routes import get, post, put
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.metrics import PAYMENTS
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderPaid
from pulsecart.shop.orders.order import Order, check_id, may_become, order_document, refuse_step
from pulsecart.shop.payments import calls, payment
from pulsecart.shop.payments.calls import Failed
from pulsecart.shop.payments.db.payments import Payment
from pulsecart.shop.payments.events import PaymentFailed, RefundRequested
from pulsecart.shop.payments.simulated_gateway import Ask, Charge, GatewayTimeout, Mode, SimulatedGateway

CONNECTIONS = 3
PAID = frozenset({"PAID", "FULFILLED"})
DECLINES = frozenset(reason for _, reason in payment.WHY.values())
GATEWAY_S = 10.0  # after that the answer counts as lost


class Cashier:
    """Batches each step for orders that arrive together: intent, gateway request, record. One per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("pay", CONNECTIONS).db
        self._new_id = deps.new_id
        self._gateway = SimulatedGateway(self._db)
        self.intents: Batcher[payment.Due, Payment | None] = Batcher(self._intend)
        self.charges: Batcher[Payment, Charge] = Batcher(self._charge)
        self.answers: Batcher[payment.Answered, None] = Batcher(self._record)

    async def _intend(self, due: list[payment.Due]) -> Sequence[Payment | Exception | None]:
        return await payment.intend(self._db, due, self._new_id)

    async def _charge(self, owed: list[Payment]) -> Sequence[Charge | Exception]:
        """Charge payments; failures are recorded here, whether or not the caller still waits."""
        began = time.perf_counter()
        answers = await self._answers([Ask(one.payment_id, one.amount_minor, one.currency) for one in owed])
        failures = []
        for one, answer in zip(owed, answers, strict=True):
            if isinstance(answer, Exception):
                failures.append(Failed(one.order_id, one.call_id, "charge", answer))
            result = calls.result_of(answer) if isinstance(answer, Exception) else answer.status
            metrics.outside_call("charge", result, began)
            PAYMENTS.of(result).add()
        await calls.failed(self._db, failures)
        return answers

    async def _answers(self, requests: list[Ask]) -> Sequence[Charge | Exception]:
        try:
            async with asyncio.timeout(GATEWAY_S):
                return await self._gateway.charge_all(requests)
        except TimeoutError:
            late = GatewayTimeout("gateway-timeout", f"The payment gateway did not answer within {GATEWAY_S:.0f} s.")
            return [late] * len(requests)
        except Exception as error:
            return [error] * len(requests)

    async def _record(self, answers: list[payment.Answered]) -> Sequence[None]:
        return await payment.record(self._db, answers)


async def charge(event: Received[OrderConfirmed], deps: Deps) -> None:
    """
    Charge the order once, even after a crash: the payment's id is the gateway's idempotency key. With ``pay_by_hand``
    the order waits for the buyer's request.

    Raises:
        GatewayTimeout, GatewayDown: the broker retries, with the same key.
    """
    order_id = event.data.orderId
    check_id(order_id)
    if deps.settings.pay_by_hand:
        return
    cashier = deps.singleton(Cashier)
    owed = await cashier.intents.submit(payment.Due(order_id, event.envelope.identity))
    if owed is None:
        return
    with span("gateway.charge", attributes={"payment.id": owed.payment_id}):
        answer = await cashier.charges.submit(owed)
    await cashier.answers.submit(payment.Answered(event.envelope, order_id, answer, owed.call_id))


async def pay_by_hand(request: Request, deps: Deps) -> Reply:
    """
    Charge the order at its owner's request. A repeated request, or one after the event, is the same payment.

    Raises:
        Refused: the order cannot be paid, or the payment was declined, which cancels the order.
        GatewayTimeout, GatewayDown: the client retries; the order is charged once.
    """
    order_id = request.params["id"]
    order = await _read(deps, order_id)
    check(request, deps, "order", "pay", owner=order.buyer_id, status=order.status)
    if order.status not in PAID:
        if not may_become(order.status, "PAID"):
            raise refuse_step(order.order_id, order.status, "PAID")
        cashier = deps.singleton(Cashier)
        owed = await cashier.intents.submit(payment.Due(order_id, None))
        if owed is not None:
            answer = await cashier.charges.submit(owed)
            await cashier.answers.submit(payment.Answered(None, order_id, answer, owed.call_id))
        order = await _read(deps, order_id)
    if order.cancel_reason in DECLINES:
        raise Refused("payment-declined", "The payment was declined and the order is canceled. Place a new order.")
    if order.status not in PAID:
        raise refuse_step(order.order_id, order.status, "PAID")
    return Reply(200, msgspec.json.encode(order_document(order)))


async def _read(deps: Deps, order_id: str) -> Order:
    async with deps.db.transaction() as tx:
        return await orders.require(tx, order_id)


class BehaviourBody(Struct, frozen=True):
    """``mode`` applies to a ``share`` of the payments, always the same ones."""

    mode: Mode
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


async def behave(request: Request, deps: Deps) -> Reply:
    """Set the simulated gateway's behaviour; in the demo only."""
    body = decoded(request.body, BehaviourBody)
    await SimulatedGateway(deps.db).behave(body.mode, body.share)
    return Reply(body=msgspec.json.encode(body))


async def behaviour(request: Request, deps: Deps) -> Reply:
    """Show the simulated gateway's configured behaviour."""
    mode, share = await SimulatedGateway(deps.db).behaviour()
    return Reply(body=msgspec.json.encode({"mode": mode, "share": share}))


pay = operation(
    "pay",
    routes=[
        post("/api/v1/orders/{id}/pay", pay_by_hand, allow=OWNER),
        put("/api/v1/payments/simulator", behave, allow=DEMO),
        get("/api/v1/payments/simulator", behaviour, allow=DEMO),
    ],
    events=[on(OrderConfirmed, charge)],
    emits=[OrderCanceled, OrderPaid, PaymentFailed, RefundRequested, StockAdjusted],
)
