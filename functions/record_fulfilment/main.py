"""fulfilment.reported.v1 → order.fulfilled.v1, report.rejected.v1"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.orders.events import OrderFulfilled
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected


async def handle(event: Received[FulfilmentReported], deps: Deps) -> None:
    """Say here what it does with the event, and which errors make the broker retry."""
    async with deps.db.once(event.envelope) as tx:
        if tx.seen:
            return
        # Load the rows, decide in a pure function (pulsecart/shop/partners/), store, emit:
        # tx.emit(OrderFulfilled(orderId=…), key=…, sequence=…)
        # tx.emit(ReportRejected(reportId=…), key=…, sequence=…)


record_fulfilment = operation(
    "record_fulfilment", events=[on(FulfilmentReported, handle)], emits=[OrderFulfilled, ReportRejected]
)
