"""Sold out, answered from memory: a copy of the gate at most 100 ms old that also knows who holds a claim."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from shop.gate import Gate, Shelf

MAX_AGE_S = 0.1


@dataclass(slots=True)
class Copy:
    """``buyers`` is None where there are too many to copy: then memory never says no."""

    taken_at: float
    shelf: Shelf


class SoldOut:
    """
    Args:
        clock: monotonic seconds.
    """

    def __init__(self, gate: Gate, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._clock = clock
        self._copies: dict[str, Copy] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def says_no(self, product_id: str, qty: int, buyer_id: str) -> bool:
        """
        Whether this buyer can be told "sold out" without asking the gate.

        Never for a buyer who holds a claim: that one gets the stored reply. A product of which units were left when
        last asked is not remembered, so that nothing stands between it and the gate.
        """
        copy = self._copies.get(product_id)
        if copy is None:
            return False
        if self._clock() - copy.taken_at > MAX_AGE_S:
            await self._look(product_id)
            copy = self._copies.get(product_id)
            if copy is None:
                return False
        shelf = copy.shelf
        return shelf.left < qty and shelf.buyers is not None and buyer_id not in shelf.buyers

    def remember(self, product_id: str) -> None:
        """The gate has just said "sold out": copy it for those who ask next."""
        if product_id not in self._copies and product_id not in self._looking:
            self._start(product_id)

    async def _look(self, product_id: str) -> None:
        await asyncio.shield(self._looking.get(product_id) or self._start(product_id))

    def _start(self, product_id: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._copy(product_id))
        self._looking[product_id] = task
        task.add_done_callback(lambda _: self._looking.pop(product_id, None))
        return task

    async def _copy(self, product_id: str) -> None:
        taken_at = self._clock()
        old = self._copies.pop(product_id, None)
        shelf = await self._gate.look(product_id)
        if shelf is None or shelf.left > 0:
            return
        if old is not None and (old.shelf.epoch, old.shelf.version) == (shelf.epoch, shelf.version):
            shelf = old.shelf
        else:
            shelf = await self._gate.look(product_id, buyers=True) or shelf
        if shelf.left == 0:
            self._copies[product_id] = Copy(taken_at, shelf)
