"""
Reads products through Redis: concurrent misses cause one read of PostgreSQL, and a stale copy is better than none.

In one process, all misses of a product wait for one task; across processes that task takes a lock in Redis and then
reads the cache again. This module never invalidates: events do (``refresh-products``).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import msgspec

from pulsecart.runtime.backoff import jittered
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Gone, NotFound, Unavailable
from pulsecart.runtime.redis_breaker import Breaker, Silent
from pulsecart.runtime.redis_error import RedisError
from pulsecart.shop import metrics
from pulsecart.shop.catalogue.copies.copies import UNKNOWN, Copies, Copy
from pulsecart.shop.catalogue.db import products
from pulsecart.shop.catalogue.product import Product, product_document, product_etag, sale_member
from pulsecart.shop.pricing.sale import Sale, sale_of_product

log = logging.getLogger(__name__)
CONNECTIONS = 2
LOOK_AGAIN_S = 0.01
WAIT_S = 1.0  # for another process's read; after that this process reads
PATIENCE_S = 0.3  # wait for a fresh copy if there is a stale one; after a timeout, no wait for AWAY_S
AWAY_S = 1.0


class Begins(msgspec.Struct):
    """The start in a sale's document."""

    startsAt: datetime | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Begins).decode


@dataclass(frozen=True, slots=True)
class Shown:
    """A product as sent to the client; ``version`` is the product's."""

    version: int
    body: bytes
    etag: str
    headers: tuple[tuple[str, str], ...]


Read = tuple[Product, Sale | None, datetime]


class ProductCache:
    """Serves products from the cache; one per process, created with ``deps.singleton(ProductCache)``."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._db = deps.share("products", CONNECTIONS).db
        self._copies = Copies(deps.redis)
        self._ask = deps.singleton(Breaker).ask
        self._looks: Batcher[str, Copy | Shown | None] = Batcher(self._look, parallel=2)
        self._reads: Batcher[str, Read | None] = Batcher(self._read)
        self._filling: dict[str, asyncio.Task[Shown]] = {}
        self._away_until = 0.0
        deps.closing.append(self._close)

    async def read(self, product_id: str) -> Shown:
        """
        Raises:
            NotFound: the product never existed.
            Gone: the product was deleted.
            Unavailable: PostgreSQL cannot be reached, and there is no copy.
        """
        if len(product_id) > 64:
            raise _unknown(product_id)
        try:
            held = await self._looks.submit(product_id)
        except RedisError:
            metrics.PRODUCT_CACHE.of("miss").add()
            return shown_now(product_id, await self._reads.submit(product_id))
        if isinstance(held, Shown):
            metrics.PRODUCT_CACHE.of("hit").add()
            return held
        metrics.PRODUCT_CACHE.of("miss").add()
        if held is None or held.version <= UNKNOWN:
            return await self._fill_once(product_id, held.demanded if held else 0)
        return await self._fill_or_stale(product_id, held)

    async def _fill_or_stale(self, product_id: str, held: Copy) -> Shown:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S if loop.time() > self._away_until else 0):
                return await self._fill_once(product_id, held.demanded)
        except (Unavailable, TimeoutError):
            self._away_until = loop.time() + AWAY_S
            metrics.PRODUCT_CACHE.of("stale").add()
            return shown(product_id, held, self._deps.clock.now(), old=True)

    async def warm(self, product_ids: Iterable[str]) -> None:
        """Cache products before the first request; deleted and unknown products are ignored."""
        await asyncio.gather(*(self._warm(product_id) for product_id in product_ids))

    async def _warm(self, product_id: str) -> None:
        with suppress(Gone, NotFound):
            if not isinstance(await self._looks.submit(product_id), Shown):
                await self._fill_once(product_id)

    async def _look(self, product_ids: list[str]) -> Sequence[Copy | Shown | Exception | None]:
        """Read copies; a fresh one is rendered once for all requests in the batch."""
        wanted = list(dict.fromkeys(product_ids))
        now = self._deps.clock.now()
        found: dict[str, Copy | Shown | Exception | None] = {}
        for product_id, held in zip(wanted, await self._ask(lambda: self._copies.look(wanted)), strict=True):
            found[product_id] = held
            if held is not None and held.is_fresh(now):
                try:
                    found[product_id] = shown(product_id, held, now)
                except (Gone, NotFound) as none:
                    found[product_id] = none
        return [found[product_id] for product_id in product_ids]

    async def _fill_once(self, product_id: str, demanded: int = 0) -> Shown:
        """Fill from an in-flight read; if that began before the ``demanded`` version, fill again."""
        try:
            found = await asyncio.shield(self._fill_task(product_id))
        except NotFound:
            if not demanded:
                raise
        else:
            if found.version >= demanded:
                return found
        return await asyncio.shield(self._fill_task(product_id))

    def _fill_task(self, product_id: str) -> asyncio.Task[Shown]:
        task = self._filling.get(product_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fill(product_id))
            self._filling[product_id] = task
            task.add_done_callback(partial(self._filled, product_id))
        return task

    def _filled(self, product_id: str, task: asyncio.Task[Shown]) -> None:
        self._filling.pop(product_id, None)
        if not task.cancelled():
            task.exception()  # marks the error as retrieved: the waiting requests have been answered

    async def _close(self) -> None:
        tasks = list(self._filling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self, product_id: str) -> Shown:
        word = self._deps.new_id()
        try:
            await self._get_turn(product_id, word)
            try:
                (held,) = await self._ask(lambda: self._copies.look([product_id]))  # another may have filled it
                now = self._deps.clock.now()
                if held is not None and held.is_fresh(now):
                    return shown(product_id, held, now)
                return await self._fill_from_database(product_id)
            finally:
                await self._ask(lambda: self._copies.free(product_id, word))
        except RedisError as error:
            level = logging.DEBUG if isinstance(error, Silent) else logging.WARNING  # the breaker logs the outage once
            log.log(level, "product %s could not be cached: %s", product_id, error)
            return shown_now(product_id, await self._reads.submit(product_id))

    async def _get_turn(self, product_id: str, word: str) -> None:
        """Wait for the lock, at most WAIT_S; return without it after that."""
        for _ in range(int(WAIT_S / LOOK_AGAIN_S)):
            if await self._ask(lambda: self._copies.lock(product_id, word)):
                return
            await asyncio.sleep(jittered(LOOK_AGAIN_S))

    async def _fill_from_database(self, product_id: str) -> Shown:
        read = await self._reads.submit(product_id)
        await self._ask(partial(self._keep, product_id, read))
        return shown_now(product_id, read)

    async def _keep(self, product_id: str, read: Read | None) -> None:
        if read is None:
            await self._copies.put_unknown(product_id, self._deps.clock.now())
            return
        product, sale, read_at = read
        if sale:
            lasts_s = (sale.ends_at - read_at).total_seconds()
            await self._copies.put_sale(product_id, sale.version, _encode(sale_of_product(sale)), lasts_s)
        await self._copies.put(product_id, product.version, read_at, document_of(product))

    async def _read(self, product_ids: list[str]) -> Sequence[Read | None]:
        async with self._db.transaction(pipelined=True) as tx:
            found = await products.by_ids(tx, product_ids)
            sales = await products.sales(tx, product_ids)
        metrics.PRODUCT_READS.of().add()
        return [(found[id], sales.get(id), tx.now) if id in found else None for id in product_ids]


def document_of(product: Product) -> bytes:
    """Return the document of a copy; empty for a deleted product."""
    return b"" if product.deleted else _encode(product_document(product))


def shown_now(product_id: str, read: Read | None) -> Shown:
    """Render a product read from PostgreSQL."""
    if read is None:
        raise _unknown(product_id)
    product, sale, read_at = read
    at = read_at.timestamp()
    encoded = (_encode(sale_of_product(sale)), sale.version) if sale else (b"", 0)
    return shown(product_id, Copy(product.version, 0, at, document_of(product), *encoded), read_at)


def shown(product_id: str, held: Copy, now: datetime, *, old: bool = False) -> Shown:
    """
    Args:
        old: the copy may be stale and PostgreSQL cannot be reached: the headers state its age.
    """
    if held.version == UNKNOWN:
        raise _unknown(product_id)
    if not held.document:
        raise Gone("product-deleted", f"Product {product_id} was removed from the catalogue.")
    if held.sale:
        name = sale_member(_decode(held.sale).startsAt, now)
        body = held.document[:-1] + f',"{name}":'.encode() + held.sale + b"}"
        etag = product_etag(held.version, held.sale_version, opens=name == "nextSale")
    else:
        body, etag = held.document, product_etag(held.version)
    headers = (("etag", etag), ("cache-control", "no-cache"))
    if not old:
        return Shown(held.version, body, etag, headers)
    age_s = max(int(now.timestamp() - held.read_at), 0)
    return Shown(held.version, body, etag, (*headers, ("age", str(age_s)), ("warning", '110 - "Response is Stale"')))


def _unknown(product_id: str) -> NotFound:
    return NotFound("unknown-product", f"There is no product {product_id[:64]}.")
