"""Rebuilds a product's gate from PostgreSQL, under the stock row's lock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.event import Cause
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.inventory.db.stock import Level
from pulsecart.shop.inventory.gate.gate import COPY_MAX_AGE_S, Gate

NEVER = -1
Changed = TypeVar("Changed", bound=Level | None)


async def rebuild(db: Database, gate: Gate, product_id: str, wrong_epoch: int = NEVER) -> bool:
    """
    Raise the epoch and load the gate from PostgreSQL, unless it was rebuilt since ``wrong_epoch``.

    The gate is written before the commit, while the row is locked: a crash between the two leaves a gate whose
    claims cannot commit, which is detected and rebuilt; the reverse order would lose units released in between.

    Returns:
        False when the product has no stock row.
    """
    async with db.transaction() as tx:
        level = await stock.level(tx, product_id, lock=True)
        if level is None:
            return False
        in_gate = await gate.look(product_id)
        if in_gate is None or in_gate.epoch != level.epoch or in_gate.epoch == wrong_epoch:
            await _load(tx, gate, level)
    return True


async def changed(
    db: Database, gate: Gate, product_id: str, change: Callable[[Tx], Awaitable[Changed]], cause: Cause | None = None
) -> Changed:
    """
    Change a product's stock row (``change`` locks it) and rebuild its gate in the same transaction; if ``change``
    returns None, the stock is unchanged and so is the gate.

    Returns when no process, here or elsewhere, can still answer "sold out" from a copy of the old gate: a purchase
    after the return sees the new stock.
    """
    async with db.transaction(cause) as tx:
        level = await change(tx)
        if level is not None:
            await _load(tx, gate, level)
    if level is not None:
        await asyncio.sleep(COPY_MAX_AGE_S)
    return level


async def _load(tx: Tx, gate: Gate, level: Level) -> None:
    epoch = await stock.raise_epoch(tx, level)
    loaded = await gate.load(
        level.product_id,
        epoch=epoch,
        left=level.available,
        limit=level.buyer_limit,
        buyers=await stock.buyers(tx, level.product_id),
        claims=await stock.releasable(tx, level.product_id),
        sale=await stock.sale_limit(tx, level.product_id),
    )
    if not loaded:  # the gate has a newer epoch: this database is older than its Redis
        in_gate = await gate.look(level.product_id)
        ahead = Level(
            level.product_id, level.available, level.buyer_limit, in_gate.epoch if in_gate else epoch, level.version
        )
        await _load(tx, gate, ahead)
