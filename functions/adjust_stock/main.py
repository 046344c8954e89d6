"""stock.reported.v1 → stock.adjusted.v1, report.rejected.v1"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.partners.events import ReportRejected, StockReported


async def handle(event: Received[StockReported], deps: Deps) -> None:
    """Say here what it does with the event, and which errors make the broker retry."""
    async with deps.db.once(event.envelope) as tx:
        if tx.seen:
            return
        # Load the rows, decide in a pure function (pulsecart/shop/partners/), store, emit:
        # tx.emit(StockAdjusted(stockId=…), key=…, sequence=…)
        # tx.emit(ReportRejected(reportId=…), key=…, sequence=…)


adjust_stock = operation("adjust_stock", events=[on(StockReported, handle)], emits=[StockAdjusted, ReportRejected])
