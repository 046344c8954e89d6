"""Claims of a silent process → void, or won · stock released → back to the gate · gate and table compared"""

from functions.settle.settlement import Settlement
from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import Received, on, operation
from pulsecart.shop.messages import StockAdjusted


async def give_back(event: Received[StockAdjusted], deps: Deps) -> None:
    """Released units are sellable again; each reservation counts once, however often its event comes."""
    product_id = event.data.productId
    await deps.one(Settlement).gate.release((product_id, claim_id) for claim_id in event.data.reservations)


async def stay(deps: Deps) -> None:
    """End leases at their second; stay while one ends within a minute, or a gate differs from its table."""
    settlement = deps.one(Settlement)
    await deps.pokes.stay("settle", settlement.next_due, settlement.act)


settle = operation("settle", events=[on(StockAdjusted, give_back)], wake=stay, redis=True)
