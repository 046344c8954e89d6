"""CONFIRMED and not paid in time → order CANCELED at the exact second, units released · old Idempotency-Keys ended"""

from datetime import datetime

from runtime.deps import Deps
from runtime.poke import QUIET_S
from runtime.serve import operation
from shop.db import due, keys
from shop.messages import OrderCanceled, StockAdjusted

MARGIN_S = 5.0  # clocks of who confirms and who expires differ


async def stay(deps: Deps) -> None:
    """
    Cancel what is overdue; stay while something falls due within a minute, or within the time there is to pay. Keys are
    in no hurry: each look takes some.
    """

    async def next_due() -> datetime | None:
        await keys.end_old(deps.db)
        async with deps.db.transaction() as tx:
            return await due.first_pay_by(tx)

    async def act() -> None:
        while await _cancel_some(deps):
            pass

    await deps.pokes.stay("expire", next_due, act, max(QUIET_S, deps.settings.pay_within_s + MARGIN_S))


async def _cancel_some(deps: Deps) -> int:
    async with deps.db.transaction() as tx:
        return await due.cancel_overdue(tx)


expire = operation("expire", emits=[OrderCanceled, StockAdjusted], wake=stay)
