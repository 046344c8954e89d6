"""Ends claims whose lease expired, gives released stock back to the gate, and rebuilds gates that differ."""

from functions.settle.settlement import Settlement
from pulsecart.runtime.deps import Deps
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.inventory.events import StockAdjusted


async def give_back(event: Received[StockAdjusted], deps: Deps) -> None:
    """Give released units back to the gate; each reservation counts once, however often its event is delivered."""
    product_id = event.data.productId
    await deps.singleton(Settlement).gate.release((product_id, claim_id) for claim_id in event.data.reservations)


async def stay_awake(deps: Deps) -> None:
    """End claims when their leases expire; keep running while one expires within a minute or a gate differs."""
    settlement = deps.singleton(Settlement)
    await deps.wake_ups.stay_awake("settle", settlement.next_due, settlement.act)


settle = operation("settle", events=[on(StockAdjusted, give_back)], wake=stay_awake, redis=True)
