"""order.confirmed.v1, POST orders/{id}/pay → order.paid · declined: order.canceled · late: refund.requested"""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from runtime.access import DEMO, OWNER
from runtime.batch import Batcher
from runtime.bodies import decoded
from runtime.deps import Deps
from runtime.http import Reply, Request
from runtime.policy import check
from runtime.routes import get, post, put
from runtime.serve import Received, on, operation
from runtime.watch import metrics
from runtime.watch.tracing import span
from shop import payment
from shop.db import orders
from shop.db.payments import Payment
from shop.event import is_id
from shop.gateway import Ask, Charge, GatewayTimeout, Mode, SimulatedGateway
from shop.messages import OrderCanceled, OrderConfirmed, OrderPaid, PaymentFailed, RefundRequested, StockAdjusted
from shop.order import Order, may_become, order_document, refuse_step
from shop.problem import Malformed, NotFound, Refused

CONNECTIONS = 3
PAID = frozenset({"PAID", "FULFILLED"})
DECLINES = frozenset(reason for _, reason in payment.WHY.values())
GATEWAY_S = 10.0  # then its answer counts as lost


class Cashier:
    """Orders that arrive together share each beat: intent, request to the gateway, record. One per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("pay", CONNECTIONS).db
        self._new_id = deps.new_id
        self._gateway = SimulatedGateway(self._db)
        self.intents: Batcher[str, Payment | None] = Batcher(self._intend)
        self.charges: Batcher[Ask, Charge] = Batcher(self._charge)
        self.answers: Batcher[payment.Answered, None] = Batcher(self._record)

    async def _intend(self, order_ids: list[str]) -> Sequence[Payment | Exception | None]:
        return await payment.intend(self._db, order_ids, self._new_id)

    async def _charge(self, asks: list[Ask]) -> Sequence[Charge | Exception]:
        try:
            async with asyncio.timeout(GATEWAY_S):
                return await self._gateway.charge_all(asks)
        except TimeoutError:
            raise GatewayTimeout("gateway-timeout", f"The gateway said nothing for {GATEWAY_S:.0f} s.") from None

    async def _record(self, answers: list[payment.Answered]) -> Sequence[None]:
        return await payment.record(self._db, answers)


async def charge(event: Received[OrderConfirmed], deps: Deps) -> None:
    """
    Take the money once, whatever happens in between: the payment's id is the gateway's idempotency key. Where buyers
    pay by hand it waits for their word.

    Raises:
        GatewayTimeout, GatewayDown: the broker comes again, with the same key.
    """
    order_id = event.data.orderId
    if not is_id(order_id):
        raise Malformed("unknown-order", f"{order_id[:64]} is no order of this shop.")
    if deps.settings.pay_by_hand:
        return
    cashier = deps.one(Cashier)
    owed = await cashier.intents.submit(order_id)
    if owed is None:
        return
    with span("gateway.charge", attributes={"payment.id": owed.payment_id}):
        answer = await cashier.charges.submit(Ask(owed.payment_id, owed.amount_minor, owed.currency))
    await cashier.answers.submit(payment.Answered(event.envelope, order_id, answer))
    metrics.PAYMENTS.of(answer.status).add()


async def pay_by_hand(request: Request, deps: Deps) -> Reply:
    """
    Take the money now, on its owner's word. A second time is the same payment: its event may have been first.

    Raises:
        Refused: the order is not one to be paid, or the payment was declined, which cancels it.
        GatewayTimeout, GatewayDown: ask again; it is charged once.
    """
    order_id = request.params["id"]
    order = await _found(deps, order_id)
    check(request, deps, "order", "pay", owner=order.buyer_id, status=order.status)
    if order.status not in PAID:
        if not may_become(order.status, "PAID"):
            raise refuse_step(order.order_id, order.status, "PAID")
        cashier = deps.one(Cashier)
        owed = await cashier.intents.submit(order_id)
        if owed is not None:
            answer = await cashier.charges.submit(Ask(owed.payment_id, owed.amount_minor, owed.currency))
            await cashier.answers.submit(payment.Answered(None, order_id, answer))
            metrics.PAYMENTS.of(answer.status).add()
        order = await _found(deps, order_id)
    if order.cancel_reason in DECLINES:
        raise Refused("payment-declined", "The payment was declined, and the order canceled; order again.")
    if order.status not in PAID:
        raise refuse_step(order.order_id, order.status, "PAID")
    return Reply(200, msgspec.json.encode(order_document(order)))


async def _found(deps: Deps, order_id: str) -> Order:
    async with deps.db.transaction() as tx:
        order = await orders.find(tx, order_id)
    if order is None:
        raise NotFound("unknown-order", f"There is no order {order_id[:64]}.")
    return order


class BehaviourBody(Struct, frozen=True):
    """``share`` of the payments meets ``mode``, always the same ones."""

    mode: Mode
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


async def behave(request: Request, deps: Deps) -> Reply:
    """Tell the simulated gateway how to behave; in the demo only."""
    body = decoded(request.body, BehaviourBody)
    await SimulatedGateway(deps.db).behave(body.mode, body.share)
    return Reply(body=msgspec.json.encode(body))


async def behaviour(request: Request, deps: Deps) -> Reply:
    """How it was told to behave."""
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
