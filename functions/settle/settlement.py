"""Settles claims whose lease expired, and rebuilds gates that differ from their stock row."""

import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pulsecart.runtime.away import is_away
from pulsecart.runtime.deps import Deps
from pulsecart.shop import metrics
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.inventory.db.stock import Level
from pulsecart.shop.inventory.gate.gate import GateLevel, gate_of
from pulsecart.shop.inventory.gate_rebuild import rebuild

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """A gate that differs from its stock row; unchanged at two checks, it is wrong and no release is in flight."""

    shelf: GateLevel
    level: Level


class Settlement:
    """Settles claims and compares gates; one per process, several processes at once are harmless."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps.share("settle")
        self.gate = deps.singleton(gate_of)
        self._differences: dict[str, Difference] = {}

    async def next_due(self) -> datetime | None:
        """Return when the next lease expires or a difference must be checked again."""
        now = self._deps.clock.now()
        ends = [now + timedelta(seconds=left) for claims in (await self._leases()).values() for _, left in claims]
        if self._differences:
            ends.append(now + LOOK_AGAIN)
        return min(ends, default=None)

    async def act(self) -> None:
        """Settle every expired lease, then compare each gate with its stock row."""
        for product_id, claims in (await self._leases()).items():
            ended = [claim_id for claim_id, left in claims if left <= 0]
            if ended:
                await _apart(product_id, self._settle(product_id, ended))
        for product_id in await self.gate.products():
            await _apart(product_id, self._compare(product_id))

    async def _leases(self) -> Mapping[str, list[tuple[str, float]]]:
        return {product_id: await self.gate.leases(product_id) for product_id in await self.gate.products()}

    async def _settle(self, product_id: str, claim_ids: list[str]) -> None:
        async with self._deps.db.transaction() as tx:
            states = await stock.void_claims(tx, claim_ids)
        void = [(product_id, claim_id) for claim_id, state in states.items() if state == "void"]
        won = [(product_id, claim_id) for claim_id, state in states.items() if state == "won"]
        await self.gate.release(void)
        await self.gate.confirm(won)
        metrics.CLAIMS_SETTLED.of("void").add(len(void))
        metrics.CLAIMS_SETTLED.of("won").add(len(won))
        log.info("settled %d claims of product %s: %d void", len(claim_ids), product_id, len(void))

    async def _compare(self, product_id: str) -> None:
        seen = self._differences.pop(product_id, None)
        async with self._deps.db.transaction() as tx:
            level = await stock.level(tx, product_id, lock=True)
            in_gate = await self.gate.look(product_id)
        if level is None or in_gate is None or in_gate.leases:
            return
        difference = Difference(in_gate, level)
        if in_gate.epoch != level.epoch or (in_gate.left != level.available and difference == seen):
            log.warning("gate of product %s differs from its stock row and is rebuilt: %s", product_id, difference)
            metrics.GATE_REBUILDS.of("settle").add()
            await rebuild(self._deps.db, self.gate, product_id, in_gate.epoch)
        elif in_gate.left != level.available:
            self._differences[product_id] = difference


async def _apart(product_id: str, work: Coroutine[Any, Any, None]) -> None:
    """Log a product's error, so that it does not stop the other products; an outage is raised."""
    try:
        await work
    except Exception as error:
        if is_away(error):
            raise
        log.exception("product %s could not be settled", product_id)
