"""order.paid.v1 → order.fulfilled"""

from runtime.deps import Deps
from runtime.serve import Received, on, operation
from shop import announce
from shop.db import orders
from shop.messages import OrderFulfilled, OrderPaid


async def fulfil_order(event: Received[OrderPaid], deps: Deps) -> None:
    """Ship what was paid; an order that was canceled meanwhile, or shipped before, stays as it is."""
    async with deps.db.once(event.envelope) as tx:
        if tx.seen:
            return
        order = await orders.find(tx, event.data.orderId, lock=True)
        if order is None or order.status != "PAID":
            return
        fulfilled = await orders.step(tx, order, "FULFILLED")
        tx.emit(announce.fulfilled(fulfilled), key=order.order_id, sequence=fulfilled.version)


fulfil = operation("fulfil", events=[on(OrderPaid, fulfil_order)], emits=[OrderFulfilled])
