"""Fulfils paid orders: order.paid → order.fulfilled; an order of one partner's products waits for that partner."""

from collections.abc import Sequence

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db import consumed
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Cause
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.events import OrderFulfilled, OrderPaid
from pulsecart.shop.orders.order import check_id, stepped
from pulsecart.shop.partners.db import products
from pulsecart.shop.partners.reports import owner_of, products_of


class Shipping:
    """Fulfils orders paid at about the same time in one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("fulfil").db
        self.paid: Batcher[Received[OrderPaid], None] = Batcher(self._ship)

    async def _ship(self, events: list[Received[OrderPaid]]) -> Sequence[None]:
        async with self._db.transaction() as tx:
            order_of = {event.envelope.identity: event.data.orderId for event in events}
            fresh = await consumed.first_time(tx, "fulfil", [event.envelope for event in events])
            found = await orders.locked(tx, [order_of[event.identity] for event in fresh])
            owners = await products.owners(tx, products_of(list(found.values())))
            shipped = []
            for event in fresh:
                order = found.pop(order_of[event.identity], None)
                if order is not None and order.status == "PAID" and owner_of(order, owners) is None:
                    tx.causes[order.order_id] = event.identity
                    shipped.append(stepped(order, "FULFILLED"))
                    message, version = announce.fulfilled(shipped[-1]), shipped[-1].version
                    tx.emit(message, key=order.order_id, sequence=version, cause=Cause.of(event))
            await orders.move(tx, shipped)
        return [None] * len(events)


async def fulfil_order(event: Received[OrderPaid], deps: Deps) -> None:
    """
    Fulfil a paid order; an order canceled meanwhile or already fulfilled stays unchanged, and so does one whose
    products all belong to one partner, who reports its fulfilment (record_fulfilment).
    """
    check_id(event.data.orderId)
    await deps.singleton(Shipping).paid.submit(event)


fulfil = operation("fulfil", events=[on(OrderPaid, fulfil_order)], emits=[OrderFulfilled])
