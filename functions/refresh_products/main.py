"""
Updates the search index and the cached products, sale prices and stock, from product.*, flash_sale.*, stock.adjusted.

product.updated → search index, older copies stale; flash_sale.* → ``flash_price:{id}``; stock.adjusted →
``inventory:{id}``.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.moment import is_kept
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.catalogue.copies.copies import ENDED_S, Copies, stock_document
from pulsecart.shop.catalogue.db import search
from pulsecart.shop.catalogue.events import ProductUpdated
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled, FlashSaleStarted


class Index:
    """Writes events that arrive together in one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("refresh_products", 1).db
        self.rows: Batcher[search.Row, None] = Batcher(self._write)

    async def _write(self, rows: list[search.Row]) -> Sequence[None]:
        async with self._db.transaction() as tx:
            await search.project(tx, rows)
        return [None] * len(rows)


def copies(deps: Deps) -> Copies:
    """Create the process's instance, for ``deps.singleton``."""
    return Copies(deps.redis)


async def updated(event: Received[ProductUpdated], deps: Deps) -> None:
    """Index the product's newest version and mark cached copies of older versions as stale."""
    data, sequence = event.data, event.envelope.sequence
    gone = data.status == "DELETED"
    row = search.Row(data.productId, sequence, gone, data.sku, data.name, data.category, data.description)
    await deps.singleton(Index).rows.submit(row)
    await deps.singleton(copies).demand(data.productId, sequence)


Priced = Received[FlashSaleScheduled] | Received[FlashSaleStarted] | Received[FlashSaleChanged]


async def priced(event: Priced, deps: Deps) -> None:
    """Cache the sale's price with its start and end, so that neither needs another event."""
    data = event.data
    starts_at, ends_at = _time(data.startsAt), _time(data.endsAt)
    if starts_at is None or ends_at is None:
        raise Malformed(
            "contract-broken", f"startsAt or endsAt of sale {data.saleId[:64]} is a time that cannot be stored."
        )
    times = {"startsAt": rfc3339(starts_at), "endsAt": rfc3339(ends_at)}
    document = {"saleId": data.saleId, "price": data.price, "currency": data.currency, **times}
    lasts_s = (ends_at - deps.clock.now()).total_seconds()
    await deps.singleton(copies).put_sale(
        data.productId, event.envelope.sequence, msgspec.json.encode(document), lasts_s
    )


async def ended(event: Received[FlashSaleEnded], deps: Deps) -> None:
    """Remove the sale's price, also when the sale ended early: the list price applies again."""
    await deps.singleton(copies).put_sale(event.data.productId, event.envelope.sequence, b"", ENDED_S)


async def counted(event: Received[StockAdjusted], deps: Deps) -> None:
    """Cache the stock level; each event contains it in full, so the newest is enough."""
    data, sequence = event.data, event.envelope.sequence
    document = stock_document(data.productId, data.available, sequence)
    await deps.singleton(copies).put_stock(data.productId, sequence, document)


def _time(text: str) -> datetime | None:
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return at if is_kept(at) else None


refresh_products = operation(
    "refresh_products",
    events=[
        on(ProductUpdated, updated),
        on(FlashSaleScheduled, priced),
        on(FlashSaleStarted, priced),
        on(FlashSaleChanged, priced),
        on(FlashSaleEnded, ended),
        on(StockAdjusted, counted),
    ],
    connections=1,
    concurrency=512,
    redis=True,
)
