"""Records payment intents and the gateway's answers: many orders in one transaction, each decided separately."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pulsecart.runtime.db import consumed
from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.event import Cause, CloudEvent, Identity
from pulsecart.runtime.problem import Unprocessable
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import history, orders
from pulsecart.shop.orders.order import Order, stepped
from pulsecart.shop.payments.db import calls, payments
from pulsecart.shop.payments.db.calls import Begun, Ended
from pulsecart.shop.payments.db.payments import Payment
from pulsecart.shop.payments.events import PaymentFailed, RefundRequested
from pulsecart.shop.payments.simulated_gateway import Charge

WHY = {"DECLINED": ("DECLINED", "PAYMENT_DECLINED"), "VOIDED": ("TIMEOUT", "PAYMENT_FAILED")}


@dataclass(frozen=True, slots=True)
class Answered:
    """
    The gateway's answer for the order of an event; ``event`` is None when the buyer pays manually, ``call_id``
    identifies the attempt that it answers.
    """

    event: CloudEvent | None
    order_id: str
    charge: Charge
    call_id: str = ""


class Due(NamedTuple):
    """An order whose payment is due; ``caused_by`` is the event that triggered it."""

    order_id: str
    caused_by: Identity | None


async def intend(db: Database, due: Sequence[Due], new_id: Callable[[], str]) -> list[Payment | Exception | None]:
    """
    Write the payments and this attempt before the call to the gateway, and return the payments to charge; None when
    nothing is due (any more); ``Unprocessable`` when the order does not exist.
    """
    async with db.transaction() as tx:
        found = await orders.locked(tx, [one.order_id for one in due])
        waiting = [order for order in found.values() if order.status == "CONFIRMED"]
        written = await payments.intend(tx, waiting, {order.order_id: new_id() for order in waiting})
        owed = [_to_ask_for(one.order_id, found, written) for one in due]
        owed = [replace(one, call_id=new_id()) if isinstance(one, Payment) else one for one in owed]
        tries = [(one, cause) for one, (_, cause) in zip(owed, due, strict=True) if isinstance(one, Payment)]
        calls.begin(tx, [Begun(one.order_id, one.call_id, "charge", cause) for one, cause in tries])
    return owed


def _to_ask_for(order_id: str, found: dict[str, Order], written: dict[str, Payment]) -> Payment | Exception | None:
    if order_id not in found:
        return Unprocessable("unknown-order", f"Order {order_id} was confirmed, but does not exist.")
    payment = written.get(order_id)
    return payment if payment is not None and payment.status == "INTENDED" else None


async def record(db: Database, answers: Sequence[Answered]) -> list[None]:
    """
    Write the results of the gateway's answers, once per event. The order's current status decides: charged in time
    becomes PAID, charged for a canceled order requests a refund, declined becomes CANCELED and its units return.
    """
    by_event = {answer.event.identity: answer for answer in answers if answer.event}
    async with db.transaction() as tx:
        calls.end(tx, [Ended(one.order_id, one.call_id, one.charge.status) for one in answers if one.call_id])
        first = await consumed.first_time(
            tx, db.operation, [answer.event for answer in by_event.values() if answer.event]
        )
        fresh = [by_event[event.identity] for event in first] + [answer for answer in answers if answer.event is None]
        found = await orders.locked(tx, [answer.order_id for answer in fresh])
        owed = await payments.of_orders(tx, found)
        verdicts = [_verdict(answer, found, owed) for answer in fresh]
        await _write(tx, [verdict for verdict in verdicts if verdict is not None])
    return [None] * len(answers)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """``order`` before the step, ``payment`` with its new status; ``actor``: the buyer if paid manually, else None."""

    order: Order
    payment: Payment
    reference: str
    cause: Cause
    actor: str | None


def _verdict(answer: Answered, found: dict[str, Order], owed: dict[str, Payment]) -> _Verdict | None:
    """Return None when the payment is already recorded, by another delivery or, if refunded, by ``refund``."""
    payment = owed.pop(answer.order_id, None)
    if payment is None or payment.status != "INTENDED" or answer.charge.status == "REFUNDED":
        return None
    payment = replace(payment, status=answer.charge.status)
    order = found[answer.order_id]
    cause, actor = (Cause.of(answer.event), None) if answer.event else (orders.cause_of(order), history.buyer(order))
    return _Verdict(order, payment, answer.charge.reference, cause, actor)


async def _write(tx: Tx, verdicts: Sequence[_Verdict]) -> None:
    await payments.settle(tx, [(verdict.payment, verdict.reference) for verdict in verdicts])
    tx.causes = {verdict.order.order_id: verdict.cause.event for verdict in verdicts if verdict.cause.event}
    in_time = [verdict for verdict in verdicts if verdict.order.status == "CONFIRMED"]
    charged = [verdict for verdict in in_time if verdict.payment.status == "CHARGED"]
    await orders.move(tx, [_paid(tx, verdict) for verdict in charged if verdict.actor is None])
    for verdict in charged:
        if verdict.actor is not None:
            await orders.move(tx, [_paid(tx, verdict)], actor=verdict.actor)
    declined = [verdict for verdict in in_time if verdict.payment.status != "CHARGED"]
    await stock.lock(tx, {line.product_id for verdict in declined for line in verdict.order.lines})
    for verdict in declined:
        await _decline(tx, verdict)
    for verdict in verdicts:
        if verdict.order.status != "CONFIRMED" and verdict.payment.status == "CHARGED":
            await _ask_back(tx, verdict)


def _paid(tx: Tx, verdict: _Verdict) -> Order:
    paid = stepped(verdict.order, "PAID")
    message = announce.paid(paid, verdict.payment.payment_id)
    tx.emit(message, key=paid.order_id, sequence=paid.version, cause=verdict.cause)
    return paid


async def _decline(tx: Tx, verdict: _Verdict) -> None:
    why, reason = WHY[verdict.payment.status]
    order = await payments.numbered(tx, verdict.order)
    tx.cause = verdict.cause
    failed = PaymentFailed(orderId=order.order_id, paymentId=verdict.payment.payment_id, reason=why)
    tx.emit(failed, key=order.order_id, sequence=order.version)
    await orders.cancel(tx, order, reason)


async def _ask_back(tx: Tx, verdict: _Verdict) -> None:
    order, payment = await payments.numbered(tx, verdict.order), verdict.payment
    request = RefundRequested(
        orderId=order.order_id,
        paymentId=payment.payment_id,
        amount=payment.amount,
        currency=payment.currency,
        reason="LATE_CHARGE",
    )
    tx.emit(request, key=order.order_id, sequence=order.version, cause=verdict.cause)
