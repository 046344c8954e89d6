"""
Caches products, sale prices and stock in Redis. Each copy carries the version of its data.

``product:<id>`` is ``<version> <demanded> <read at, ms> <document>``: fresh while no event demanded a newer version and
it was read less than FRESH_S ago. ``flash_price:<id>`` and ``inventory:<id>`` are ``<sequence> <document>``, written
only by events. An empty document means deleted, or ended; with the version UNKNOWN, that no such product existed.
"""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from pulsecart.shop.money import wire_id

if TYPE_CHECKING:
    from redis.asyncio import Redis

PACKAGE = __name__.rpartition(".")[0]
FRESH_S = 600.0  # limits the effect of an invalidation lost despite its retries and dead letter
KEEP_S = 24 * 3600.0
UNKNOWN_S = 30.0  # clients may request any id
UNKNOWN = 0  # older than version 1, which the product's first event demands
DEMAND_S = 120.0  # outlives every read that began before the event came
ENDED_S = 3600.0  # for this long, a started event that arrives after its sale's end is ignored
LOCK_S = 2.0
PRODUCT, SALE, STOCK, LOCK = "product:", "flash_price:", "inventory:", "product_lock:"


class Copy(Struct, frozen=True):
    """
    Args:
        version: -1 when only the demand is stored, UNKNOWN when no such product existed.
        demanded: the newest version that an event has announced.
        document: JSON; empty for a deleted product.
        sale: JSON of the open sale, empty for none; ``sale_version`` is its sequence.
    """

    version: int
    demanded: int
    read_at: float
    document: bytes
    sale: bytes = b""
    sale_version: int = 0

    def is_fresh(self, now: datetime) -> bool:
        return self.version >= self.demanded and now.timestamp() - self.read_at < FRESH_S


class Copies:
    """Reads and writes copies; each command raises ``RedisError`` if Redis fails, and may still have run."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        scripts = {name: (files(PACKAGE) / f"{name}.lua").read_text() for name in ("put", "demand", "newest", "free")}
        self._scripts: dict[str, Any] = {name: redis.register_script(text) for name, text in scripts.items()}

    async def look(self, product_ids: Sequence[str]) -> list[Copy | None]:
        """Return copies with their sales, in one command; None when there is neither a copy nor a demand."""
        keys = [PRODUCT + id for id in product_ids] + [SALE + id for id in product_ids]
        found: list[Any] = await self._redis.mget(keys)
        count = len(product_ids)
        return [_copy(found[at], found[at + count]) for at in range(count)]

    async def put(
        self, product_id: str, version: int, read_at: datetime, document: bytes, keep_s: float = KEEP_S
    ) -> bool:
        """Store a copy read at ``read_at``, unless a newer version is stored."""
        stamp = int(read_at.timestamp() * 1000)
        return bool(await self._run("put", PRODUCT + product_id, version, stamp, document, int(keep_s * 1000)))

    async def put_unknown(self, product_id: str, read_at: datetime) -> bool:
        """Store that no such product existed at ``read_at``, for UNKNOWN_S or until the event of its first version."""
        return await self.put(product_id, UNKNOWN, read_at, b"", UNKNOWN_S)

    async def demand(self, product_id: str, version: int) -> bool:
        """Mark copies older than ``version`` as stale."""
        return bool(await self._run("demand", PRODUCT + product_id, version, int(DEMAND_S * 1000)))

    async def put_sale(self, product_id: str, sequence: int, document: bytes, lasts_s: float) -> bool:
        """Store a sale's price for ``lasts_s`` seconds, unless a newer one is stored; an empty document ends it."""
        if lasts_s <= 0:
            return False
        return bool(await self._run("newest", SALE + product_id, sequence, document, max(int(lasts_s * 1000), 1)))

    async def put_stock(self, product_id: str, sequence: int, document: bytes) -> bool:
        """Store the units left, unless a newer sequence is stored."""
        return bool(await self._run("newest", STOCK + product_id, sequence, document, 0))

    async def stock(self, product_id: str) -> bytes | None:
        """Return the document stored by ``put_stock``."""
        held: Any = await self._redis.get(STOCK + product_id)
        return held.partition(b" ")[2] if held else None

    async def lock(self, product_id: str, word: str) -> bool:
        """Take the lock on reading this product, for at most LOCK_S; False when another process has it."""
        return bool(await self._redis.set(LOCK + product_id, word, nx=True, px=int(LOCK_S * 1000)))

    async def free(self, product_id: str, word: str) -> None:
        """Release the lock, unless another process has it by now."""
        await self._run("free", LOCK + product_id, word)

    async def forget(self) -> None:
        """Delete every copy."""
        for prefix in (PRODUCT, SALE, STOCK):
            async for key in self._redis.scan_iter(f"{prefix}*", count=1000):
                await self._redis.unlink(key)

    async def _run(self, name: str, key: str, *args: Any) -> int:
        return int(await self._scripts[name](keys=[key], args=args))


def stock_document(product_id: str, available: int, sequence: int) -> bytes:
    """Return the document of ``inventory:<id>``; ``sequence`` is the stock's version."""
    return msgspec.json.encode({"productId": wire_id(product_id), "available": available, "sequence": sequence})


def _copy(held: bytes | None, sale: bytes | None) -> Copy | None:
    if held is None:
        return None
    version, demanded, read_at, document = held.split(b" ", 3)
    sequence, _, price = (sale or b"0 ").partition(b" ")
    return Copy(int(version), int(demanded), int(read_at) / 1000, document, price, int(sequence))
