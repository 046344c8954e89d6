"""POST /api/v1/events → fulfilment.reported.v1, stock.reported.v1"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import ADMIN
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import post
from pulsecart.shop.partners.events import FulfilmentReported, StockReported


async def answer(request: Request, deps: Deps) -> Reply:
    """Say here what it answers, and which problems it raises."""
    # async with deps.db.transaction() as tx:
    # Load the rows, decide in a pure function (pulsecart/shop/partners/), store, emit:
    # tx.emit(FulfilmentReported(fulfilmentId=…), key=…, sequence=…)
    # tx.emit(StockReported(stockId=…), key=…, sequence=…)
    return Reply(204)


events = operation(
    "events", routes=[post("/api/v1/events", answer, allow=ADMIN)], emits=[FulfilmentReported, StockReported]
)
