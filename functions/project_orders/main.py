"""Projects order events to orders_by_customer, which holds the newest state of each order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.money import minor_amount
from pulsecart.shop.orders.db.by_customer import Row, project
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderCreated, OrderFulfilled, OrderPaid
from pulsecart.shop.orders.order import check_id

Event = OrderCreated | OrderConfirmed | OrderPaid | OrderFulfilled | OrderCanceled
STATUS: dict[type[Event], str] = {
    OrderConfirmed: "CONFIRMED",
    OrderPaid: "PAID",
    OrderFulfilled: "FULFILLED",
    OrderCanceled: "CANCELED",
}


class Projection:
    """Writes events that arrive together in one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("project_orders").db
        self.rows: Batcher[Row, None] = Batcher(self._write)

    async def _write(self, rows: list[Row]) -> Sequence[None]:
        async with self._db.transaction() as tx:
            await project(tx, rows)
        return [None] * len(rows)


async def keep(event: Received[Any], deps: Deps) -> None:
    """Keep the order's newest sequence; repeated, late and reordered events give the same result."""
    check_id(event.data.orderId)  # otherwise it would fail the whole batch's write
    row = row_of(event.data, event.envelope.sequence, event.envelope.time or deps.clock.now())
    await deps.singleton(Projection).rows.submit(row)


def row_of(data: Event, sequence: int, at: datetime) -> Row:
    """Convert an event to a row of the projection."""
    if isinstance(data, OrderCreated):
        minor = minor_amount(data.totalAmount, data.currency)
        return Row(data.userId, data.orderId, data.status, at, sequence, minor, data.currency, at)
    return Row(data.userId, data.orderId, STATUS[type(data)], at, sequence)


project_orders = operation(
    "project_orders",
    events=[on(kind, keep) for kind in (OrderCreated, OrderConfirmed, OrderPaid, OrderFulfilled, OrderCanceled)],
    concurrency=512,
)
