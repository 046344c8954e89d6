"""order.created (PENDING) → stock held, order.confirmed | order.canceled"""

from runtime.deps import Deps
from runtime.serve import Received, on, operation
from runtime.till import Till
from runtime.watch import metrics
from shop.db import orders
from shop.decision import Denied, Intent
from shop.gate import Answer
from shop.messages import OrderCanceled, OrderConfirmed, OrderCreated, StockAdjusted
from shop.order import Order
from shop.problem import Malformed, Unavailable

CANCELS = {"SOLD_OUT": "SOLD_OUT", "LIMIT": "LIMIT_REACHED"}


async def hold(event: Received[OrderCreated], deps: Deps) -> None:
    """
    Hold every line of a PENDING order, or none; any other order was decided before and is left alone.

    Raises:
        Unavailable: gate or database is away, or an earlier try of this order holds a claim: the broker retries.
    """
    order = await _find(deps, event.data.orderId)
    if order.status != "PENDING":
        return
    till = deps.one(Till)
    outcome = await till.ring_up(Intent(order=order, waiting=True), f"order:{order.order_id}")
    match outcome:
        case Answer("SOLD_OUT" | "LIMIT" as verdict):
            metrics.RESERVATION_FAILURES.of(CANCELS[verdict]).add()
            await till.refuse(Intent(order=order, waiting=True, refused=CANCELS[verdict]))
        case Answer("SEEN"):
            raise Unavailable("claim-open", "An earlier try holds a claim; settle ends it when its lease does.")
        case Denied("NOT_WAITING"):
            return
        case Denied(reason):
            metrics.RESERVATION_FAILURES.of(reason).add()
            await till.refuse(Intent(order=order, waiting=True, refused="STOCK_LOST"))


async def _find(deps: Deps, order_id: str) -> Order:
    async with deps.db.transaction() as tx:
        order = await orders.find(tx, order_id)
    if order is None:
        raise Malformed("unknown-order", f"There is no order {order_id}; its event cannot be from this shop.")
    return order


reserve = operation(
    "reserve",
    events=[on(OrderCreated, hold)],
    emits=[OrderCanceled, OrderConfirmed, StockAdjusted],
    connections=4,
    concurrency=512,
)
