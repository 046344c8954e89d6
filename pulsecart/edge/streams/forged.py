"""Removes live streams whose newest id the shop never assigned: they would reject all later entries."""

from collections.abc import Sequence

from pulsecart.edge.streams.news import ORDER_KEY, SALES_KEY, STATUS_KEY, STOCK_KEY, id_of
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.shop.audit.db import versions

AT_ONCE = 500


async def remove(deps: Deps) -> int:
    """Remove every such stream and the order status cached from it; return how many."""
    removed = 0
    for pattern in (f"{ORDER_KEY}*", f"{STOCK_KEY}*", SALES_KEY):
        keys = [key.decode() async for key in deps.redis.scan_iter(pattern, count=1000)]
        for at in range(0, len(keys), AT_ONCE):
            removed += await _remove(deps, keys[at : at + AT_ONCE])
    return removed


async def _remove(deps: Deps, keys: Sequence[str]) -> int:
    async with deps.redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.xrevrange(key, count=1)
        newest = [id_of(reply[0][0].decode()) if reply else None for reply in await pipe.execute()]
    async with deps.db.transaction() as tx:
        known = await _known(tx, keys)
    bad = [key for key, id in zip(keys, newest, strict=True) if id is not None and id[0] > known[key]]
    if bad:
        await deps.redis.unlink(*bad, *(STATUS_KEY + key.removeprefix(ORDER_KEY) for key in bad))
    return len(bad)


async def _known(tx: Tx, keys: Sequence[str]) -> dict[str, int]:
    """Return the newest sequence that each stream can have; 0 if its order or product does not exist."""
    named = {key: _aggregate(key) for key in keys if key != SALES_KEY}
    found = await versions.versions(tx, named.values())
    known = {key: found[about].version if about in found else 0 for key, about in named.items()}
    if SALES_KEY in keys:
        known[SALES_KEY] = await versions.of_sales(tx)
    return known


def _aggregate(key: str) -> versions.Key:
    if key.startswith(ORDER_KEY):
        return "order", key.removeprefix(ORDER_KEY)
    return "stock", key.removeprefix(STOCK_KEY)
