"""Sales made ready before their first second, started at it, ended at their last; poked by whoever schedules one"""

import logging
from collections.abc import Sequence
from datetime import datetime

from runtime.deps import Deps
from runtime.serve import operation
from shop.db import sales
from shop.messages import FlashSaleEnded, FlashSaleStarted
from shop.problem import Unavailable

log = logging.getLogger(__name__)
QUIET_S = 330.0  # longer than from one sweep to the next: whatever begins in between has somebody who stays for it
WARM_MAX = 200


async def stay(deps: Deps) -> None:
    """Warm what buyers ask for first; then stay while something begins or ends before the next sweep."""
    async with deps.db.transaction() as tx:
        first = await sales.first_asked(tx, WARM_MAX)
    await _warm(deps, first, gates=False)
    await deps.pokes.stay("open_sales", lambda: _next_due(deps), lambda: _act(deps), quiet_s=QUIET_S)


async def _next_due(deps: Deps) -> datetime | None:
    async with deps.db.transaction() as tx:
        return await sales.next_due(tx)


async def _act(deps: Deps) -> None:
    async with deps.db.transaction() as tx:
        await sales.start_due(tx)
        await sales.end_due(tx)
    async with deps.db.transaction() as tx:
        ready = await sales.take_to_warm(tx)
    await _warm(deps, ready, gates=True)


async def _warm(deps: Deps, product_ids: Sequence[str], *, gates: bool) -> None:
    """A sale begins at its second also where this fails: what is cold is made when somebody asks for it."""
    if not product_ids:
        return
    from runtime.product_cache import ProductCache
    from runtime.rebuild import rebuild
    from runtime.redis_client import RedisError
    from shop.gate import Gate

    try:
        if gates:
            gate = Gate(deps.redis, deps.settings.lease_s)
            for product_id in product_ids:
                await rebuild(deps.db, gate, product_id)
        await deps.one(ProductCache).warm(product_ids)
    except (RedisError, Unavailable) as error:
        log.warning("not warmed: %s", error)


open_sales = operation("open_sales", emits=[FlashSaleEnded, FlashSaleStarted], wake=stay, connections=1)
