"""Removes live streams whose newest id the shop never assigned: they would reject all later entries."""

from collections.abc import Sequence

from pulsecart.edge.streams.news import STATUS_KEY, id_of
from pulsecart.edge.streams.topics import KINDS, ORDER, Kind
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.shop.audit.db import versions

AT_ONCE = 500


async def remove(deps: Deps) -> int:
    """Remove every such stream and the order status cached from it; return how many."""
    removed = 0
    for kind in (kind for kind in KINDS if kind.changes):
        keys = [key.decode() async for key in deps.redis.scan_iter(f"{kind.key}*", count=1000)]
        for at in range(0, len(keys), AT_ONCE):
            removed += await _remove(deps, kind, keys[at : at + AT_ONCE])
    return removed


async def _remove(deps: Deps, kind: Kind, keys: Sequence[str]) -> int:
    async with deps.redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.xrevrange(key, count=1)
        newest = [id_of(reply[0][0].decode()) if reply else None for reply in await pipe.execute()]
    async with deps.db.transaction() as tx:
        known = await _known(tx, kind, keys)
    bad = [key for key, id in zip(keys, newest, strict=True) if id is not None and id[0] > known[key]]
    if bad:
        status = [STATUS_KEY + key.removeprefix(kind.key) for key in bad] if kind is ORDER else []
        await deps.redis.unlink(*bad, *status)
    return len(bad)


async def _known(tx: Tx, kind: Kind, keys: Sequence[str]) -> dict[str, int]:
    """Return the newest sequence that each stream can have; 0 if its order or product does not exist."""
    if not kind.aggregate:
        return dict.fromkeys(keys, await versions.of_sales(tx))
    named = {key: (kind.aggregate, key.removeprefix(kind.key)) for key in keys}
    found = await versions.versions(tx, named.values())
    return {key: found[about].version if about in found else 0 for key, about in named.items()}
