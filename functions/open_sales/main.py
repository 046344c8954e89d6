"""Warms flash sales before their start, then starts and ends them on time; scheduling a sale wakes it up."""

import logging
from collections.abc import Sequence
from datetime import datetime

from pulsecart.runtime.db.database import Busy
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.operation import operation
from pulsecart.shop.pricing.db import sales
from pulsecart.shop.pricing.events import FlashSaleEnded, FlashSaleStarted

log = logging.getLogger(__name__)
QUIET_S = 330.0  # longer than the sweep interval, so that a process runs for every sale that starts in between
WARM_MAX = 200


async def stay_awake(deps: Deps) -> None:
    """Warm the products requested first; then keep running while a sale starts or ends before the next sweep."""
    async with deps.db.transaction() as tx:
        first = await sales.first_asked(tx, WARM_MAX)
    await _warm(deps, first, gates=False)
    failed: set[str] = set()  # retried at the next wake-up or sweep
    await deps.wake_ups.stay_awake(
        "open_sales", lambda: _next_due(deps, failed), lambda: _act(deps, failed), quiet_s=QUIET_S
    )


async def _next_due(deps: Deps, failed: set[str]) -> datetime | None:
    async with deps.db.transaction() as tx:
        return await sales.next_due(tx, failed)


async def _act(deps: Deps, failed: set[str]) -> None:
    async with deps.db.transaction() as tx:
        due = await sales.due(tx)
    for sale_id in due:
        await _turn(deps, sale_id, failed)
    async with deps.db.transaction() as tx:
        ready = await sales.take_to_warm(tx)
    await _warm(deps, ready, gates=True)


async def _turn(deps: Deps, sale_id: str, failed: set[str]) -> None:
    """Start or end a sale in its own transaction: a sale that fails does not stop the others."""
    if sale_id in failed:
        return
    try:
        async with deps.db.transaction() as tx:
            sale = await sales.turn(tx, sale_id)
    except Busy:
        return  # the sale stays due
    except Unavailable:
        raise  # PostgreSQL's failure, not the sale's
    except Exception:
        failed.add(sale_id)
        log.exception("sale %s could not be started or ended", sale_id)
        return
    if sale is not None and sale.status == "ENDED" and sale.buyer_limit:
        await _make_gates(deps, [sale.product_id])


async def _make_gates(deps: Deps, product_ids: Sequence[str]) -> None:
    """Rebuild the gates whose epoch is stale; if that fails, ``settle`` or the next purchase detects it."""
    from pulsecart.shop.inventory.gate.gate import gate_of
    from pulsecart.shop.inventory.gate_rebuild import rebuild

    try:
        gate = deps.singleton(gate_of)
        for product_id in product_ids:
            await rebuild(deps.db, gate, product_id)
    except (RedisError, Unavailable) as error:
        log.warning("gates could not be built: %s", error)


async def _warm(deps: Deps, product_ids: Sequence[str], *, gates: bool) -> None:
    """Fill gates and cache; a sale starts on time even if this fails, and the first request fills them then."""
    if not product_ids:
        return
    from pulsecart.shop.catalogue.cache import ProductCache

    if gates:
        await _make_gates(deps, product_ids)
    try:
        await deps.singleton(ProductCache).warm(product_ids)
    except (RedisError, Unavailable) as error:
        log.warning("products could not be cached before their sale: %s", error)
    except Exception:
        log.exception("products could not be cached before their sale")


open_sales = operation(
    "open_sales", emits=[FlashSaleEnded, FlashSaleStarted], wake=stay_awake, connections=1, redis=True
)
