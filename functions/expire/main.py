"""Cancels unpaid CONFIRMED orders at the second of their deadline, releases units, deletes old Idempotency-Keys."""

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
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.db import due
from pulsecart.shop.orders.events import OrderCanceled

log = logging.getLogger(__name__)
MARGIN_S = 5.0  # the clocks of the confirming and the expiring process differ


async def stay_awake(deps: Deps) -> None:
    """
    Cancel overdue orders; keep running while a deadline is less than a minute, or one payment period, away. Old keys
    are not urgent: each check deletes some.
    """
    failed: set[str] = set()  # retried at the next wake-up or sweep

    async def next_due() -> datetime | None:
        await first_replies.end_old(deps.db)
        async with deps.db.transaction() as tx:
            return await due.first_pay_by(tx, failed)

    async def act() -> None:
        while await _cancel_some(deps, failed):
            pass

    await deps.wake_ups.stay_awake("expire", next_due, act, max(QUIET_S, deps.settings.pay_within_s + MARGIN_S))


class Expiry:
    """Cancels overdue orders together in one transaction; an order that fails does not stop the others."""

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
    expiry = deps.singleton(Expiry).orders
    outcomes = await asyncio.gather(*map(expiry.submit, overdue), return_exceptions=True)
    for order_id, outcome in zip(overdue, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            if is_away(outcome):
                raise outcome
            failed.add(order_id)
            log.error("order %s could not be canceled", order_id, exc_info=outcome)
    return sum(outcome is True for outcome in outcomes)


expire = operation("expire", emits=[OrderCanceled, StockAdjusted], wake=stay_awake)
