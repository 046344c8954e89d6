"""CONFIRMED and not paid in time → order CANCELED at the exact second, units released · old Idempotency-Keys ended"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from pulsecart.runtime.away import is_away
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db import first_replies
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.wakeups import QUIET_S
from pulsecart.serving.operation import operation
from pulsecart.shop.messages import OrderCanceled, StockAdjusted
from pulsecart.shop.orders.db import due

log = logging.getLogger(__name__)
MARGIN_S = 5.0  # clocks of who confirms and who expires differ


async def stay(deps: Deps) -> None:
    """
    Cancel what is overdue; stay while something falls due within a minute, or within the time there is to pay. Keys are
    in no hurry: each look takes some.
    """
    failed: set[str] = set()  # left to the next poke or sweep

    async def next_due() -> datetime | None:
        await first_replies.end_old(deps.db)
        async with deps.db.transaction() as tx:
            return await due.first_pay_by(tx, failed)

    async def act() -> None:
        while await _cancel_some(deps, failed):
            pass

    await deps.pokes.stay("expire", next_due, act, max(QUIET_S, deps.settings.pay_within_s + MARGIN_S))


class Expiry:
    """Orders overdue at one time are one transaction; one that cannot be canceled holds back no other."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("expire").db
        self.orders: Batcher[str, bool] = Batcher(self._cancel)

    async def _cancel(self, order_ids: list[str]) -> Sequence[bool]:
        async with self._db.transaction() as tx:
            canceled = await due.cancel(tx, order_ids)
        return [order_id in canceled for order_id in order_ids]


async def _cancel_some(deps: Deps, failed: set[str]) -> int:
    async with deps.db.transaction() as tx:
        overdue = await due.overdue(tx, failed)
    expiry = deps.one(Expiry).orders
    outcomes = await asyncio.gather(*map(expiry.submit, overdue), return_exceptions=True)
    for order_id, outcome in zip(overdue, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            if is_away(outcome):
                raise outcome
            failed.add(order_id)
            log.error("order %s could not be canceled", order_id, exc_info=outcome)
    return sum(outcome is True for outcome in outcomes)


expire = operation("expire", emits=[OrderCanceled, StockAdjusted], wake=stay)
