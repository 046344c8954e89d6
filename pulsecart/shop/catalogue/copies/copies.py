"""
Copies in Redis of what PostgreSQL has: products, sale prices, stock. Each carries the version of what it says.

``product:<id>`` is ``<version> <demanded> <read at, ms> <document>``: fresh while no event demanded a newer version and
it was read less than FRESH_S ago. ``flash_price:<id>`` and ``inventory:<id>`` are ``<sequence> <document>``, set by
events alone. A document that is empty says: deleted, or over; with the version UNKNOWN: there was no such product.
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
FRESH_S = 600.0  # an invalidation that was lost, with its retries and its dead letter, is mended by then
KEEP_S = 24 * 3600.0
UNKNOWN_S = 30.0  # anybody may ask for any id
UNKNOWN = 0  # older than a product's first version, which its event demands
DEMAND_S = 120.0  # outlives every read that began before the event came
ENDED_S = 3600.0  # a started event that comes later than its sale's end is refused for so long
LOCK_S = 2.0
PRODUCT, SALE, STOCK, LOCK = "product:", "flash_price:", "inventory:", "product_lock:"


class Copy(Struct, frozen=True):
    """
    Args:
        version: -1 where only the demand is held, UNKNOWN where there was no such product.
        demanded: the newest version that an event has told of.
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
    """Each command raises ``redis.RedisError`` where Redis is away, and may then have been carried out."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        scripts = {name: (files(PACKAGE) / f"{name}.lua").read_text() for name in ("put", "demand", "newest", "free")}
        self._scripts: dict[str, Any] = {name: redis.register_script(text) for name, text in scripts.items()}

    async def look(self, product_ids: Sequence[str]) -> list[Copy | None]:
        """The copies and their sales, one command for all; None where there is neither copy nor demand."""
        keys = [PRODUCT + id for id in product_ids] + [SALE + id for id in product_ids]
        found: list[Any] = await self._redis.mget(keys)
        count = len(product_ids)
        return [_copy(found[at], found[at + count]) for at in range(count)]

    async def put(
        self, product_id: str, version: int, read_at: datetime, document: bytes, keep_s: float = KEEP_S
    ) -> bool:
        """Keep a copy read at ``read_at``, unless a newer version is held."""
        stamp = int(read_at.timestamp() * 1000)
        return bool(await self._run("put", PRODUCT + product_id, version, stamp, document, int(keep_s * 1000)))

    async def put_unknown(self, product_id: str, read_at: datetime) -> bool:
        """There was no such product at ``read_at``: for UNKNOWN_S, or until the event of its first version."""
        return await self.put(product_id, UNKNOWN, read_at, b"", UNKNOWN_S)

    async def demand(self, product_id: str, version: int) -> bool:
        """From now on a copy older than ``version`` is stale."""
        return bool(await self._run("demand", PRODUCT + product_id, version, int(DEMAND_S * 1000)))

    async def put_sale(self, product_id: str, sequence: int, document: bytes, lasts_s: float) -> bool:
        """The price that holds for so long from now, unless a newer one is held; an empty document ends it."""
        if lasts_s <= 0:
            return False
        return bool(await self._run("newest", SALE + product_id, sequence, document, max(int(lasts_s * 1000), 1)))

    async def put_stock(self, product_id: str, sequence: int, document: bytes) -> bool:
        """The units that are left, unless something newer is held."""
        return bool(await self._run("newest", STOCK + product_id, sequence, document, 0))

    async def stock(self, product_id: str) -> bytes | None:
        """The document of ``put_stock``."""
        held: Any = await self._redis.get(STOCK + product_id)
        return held.partition(b" ")[2] if held else None

    async def lock(self, product_id: str, word: str) -> bool:
        """Whether we are the one, of all processes, that reads this product now; for LOCK_S at most."""
        return bool(await self._redis.set(LOCK + product_id, word, nx=True, px=int(LOCK_S * 1000)))

    async def free(self, product_id: str, word: str) -> None:
        """Give the lock back; harmless where it is another's by now."""
        await self._run("free", LOCK + product_id, word)

    async def forget(self) -> None:
        """Throw every copy away."""
        for prefix in (PRODUCT, SALE, STOCK):
            async for key in self._redis.scan_iter(f"{prefix}*", count=1000):
                await self._redis.unlink(key)

    async def _run(self, name: str, key: str, *args: Any) -> int:
        return int(await self._scripts[name](keys=[key], args=args))


def stock_document(product_id: str, available: int, sequence: int) -> bytes:
    """What ``inventory:<id>`` holds; ``sequence`` is the stock's version."""
    return msgspec.json.encode({"productId": wire_id(product_id), "available": available, "sequence": sequence})


def _copy(held: bytes | None, sale: bytes | None) -> Copy | None:
    if held is None:
        return None
    version, demanded, read_at, document = held.split(b" ", 3)
    sequence, _, price = (sale or b"0 ").partition(b" ")
    return Copy(int(version), int(demanded), int(read_at) / 1000, document, price, int(sequence))
