"""Reserves stock for new orders: order.created (PENDING) → order.confirmed or order.canceled."""

from msgspec.structs import replace

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Malformed, Unavailable
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop import metrics
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import Answer
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.decide import Denied, Intent
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderCreated
from pulsecart.shop.orders.order import Order
from pulsecart.shop.orders.till import Till

CANCELS = {"SOLD_OUT": "SOLD_OUT", "LIMIT": "LIMIT_REACHED", "SALE_LIMIT_REACHED": "LIMIT_REACHED"}


async def hold(event: Received[OrderCreated], deps: Deps) -> None:
    """
    Reserve every line of a PENDING order, or none; an order in another status is already decided and stays unchanged.

    Raises:
        Unavailable: the gate or PostgreSQL cannot be reached, or an earlier attempt for this order holds a claim; the
            broker retries.
    """
    order = await deps.singleton(Found).orders.submit(event.data.orderId)
    if order.status != "PENDING":
        return
    till = deps.singleton(Till)
    intent = Intent(order=order, waiting=True, caused_by=event.envelope.identity)
    outcome = await till.place(intent, f"order:{order.order_id}")
    match outcome:
        case Answer("SOLD_OUT" | "LIMIT" as verdict) | Denied("SALE_LIMIT_REACHED" as verdict):
            metrics.RESERVATION_FAILURES.of(CANCELS[verdict]).add()
            await till.refuse(replace(intent, refused=CANCELS[verdict]))
        case Answer("SEEN"):
            raise Unavailable("claim-open", "An earlier attempt holds a claim; settle ends it when its lease expires.")
        case Denied("NOT_WAITING"):
            return
        case Denied(reason):
            metrics.RESERVATION_FAILURES.of(reason).add()
            await till.refuse(replace(intent, refused="STOCK_LOST"))


class Found:
    """Reads the orders of events that arrive together in one query; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("reserve").db
        self.orders: Batcher[str, Order] = Batcher(self._find)

    async def _find(self, order_ids: list[str]) -> list[Order | Exception]:
        async with self._db.transaction(pipelined=True) as tx:
            found = await orders.find_all(tx, [order_id for order_id in order_ids if is_id(order_id)])
        return [found.get(order_id) or _unknown(order_id) for order_id in order_ids]


def _unknown(order_id: str) -> Malformed:
    return Malformed("unknown-order", f"There is no order {order_id[:64]}; its event is not from this shop.")


reserve = operation(
    "reserve",
    events=[on(OrderCreated, hold)],
    emits=[OrderCanceled, OrderConfirmed, StockAdjusted],
    connections=4,
    concurrency=512,
    redis=True,
)
