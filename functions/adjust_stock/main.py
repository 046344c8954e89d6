"""Adjusts a product's stock as its partner reports: partner.stock.reported → stock.adjusted or report.rejected."""

from pulsecart.runtime.db import consumed
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Cause
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import Policies
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.inventory.db.stock import Level
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import gate_of
from pulsecart.shop.inventory.gate_rebuild import changed
from pulsecart.shop.partners.db import products
from pulsecart.shop.partners.events import ReportRejected, StockReported
from pulsecart.shop.partners.reports import (
    may_report,
    partner_of,
    rejected,
    rejection_key,
    why_not_adjusted,
)

UNITS_MAX = 2**31 - 1  # of the column


async def adjust(event: Received[StockReported], deps: Deps) -> None:
    """
    Add the report's units to the stock, never below zero, and rebuild the gate; or report the reason.

    Raises:
        Malformed: the source is no partner's; the event did not come by /events.
        RedisError: the gate cannot be reached; nothing is changed, and the broker retries.
    """
    envelope, product_id, delta = event.envelope, event.data.productId, event.data.delta
    partner_id = partner_of(envelope.source)

    async def change(tx: Tx) -> Level | None:
        if not await consumed.first_time(tx, "adjust_stock", [envelope]):
            return None
        # The permission is checked again: the product may have changed hands since the event was accepted.
        own = (await products.owners(tx, [product_id])).get(product_id) == partner_id
        own = may_report(deps.singleton(Policies).verdict, envelope.type, own=own)
        before = await _locked(tx, product_id)
        reason = why_not_adjusted(before.available if before else 0, delta, own, UNITS_MAX)
        if reason is not None:
            tx.emit(rejected(envelope, product_id, reason), key=rejection_key(envelope), sequence=1)
            return None
        if before is None:
            return await stock.create(tx, product_id, delta)
        return await stock.reset(tx, before, before.available + delta)

    await changed(deps.db, deps.singleton(gate_of), product_id, change, Cause.of(envelope))


async def _locked(tx: Tx, product_id: str) -> Level | None:
    await stock.lock_product(tx, product_id)  # without a stock row, this alone makes two reports wait for each other
    return await stock.level(tx, product_id, lock=True)


adjust_stock = operation(
    "adjust_stock", events=[on(StockReported, adjust)], emits=[StockAdjusted, ReportRejected], redis=True
)
