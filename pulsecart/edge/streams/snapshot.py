"""Reads snapshots: a stream's current state from PostgreSQL, with the id of the newest event it includes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pulsecart.edge.streams import rows
from pulsecart.edge.streams.news import SALES, START, News, Topic, buyer_topic, encode, stock_topic
from pulsecart.edge.streams.rows import OrderNow, SaleNow, StockNow
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import rfc3339
from pulsecart.shop.money import decimal_amount

SALES_FRESH_S = 1.0


class Snapshots:
    """Reads snapshots; concurrent reads share one transaction. Made with ``deps.one(Snapshots)``."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._batch: Batcher[Topic, OrderNow | News | None] = Batcher(self._read)
        self._sales: tuple[float, bytes] = (0.0, b"")

    async def of(self, topic: Topic) -> News | None:
        """
        Read the snapshot of a topic.

        Returns:
            The current state as news, None if there is no such product or order.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        now = await self._batch.submit(topic)
        return order_news(topic, now) if isinstance(now, OrderNow) else now

    async def order(self, topic: Topic) -> OrderNow | None:
        """Return the order itself, for example to check its buyer; raises as ``of``."""
        now = await self._batch.submit(topic)
        return now if isinstance(now, OrderNow) else None

    async def sales(self) -> bytes:
        """Return the sales as JSON, cached for at most SALES_FRESH_S; raises as ``of``."""
        read_at, body = self._sales
        if not body or asyncio.get_running_loop().time() - read_at > SALES_FRESH_S:
            asked_at = asyncio.get_running_loop().time()
            news = await self._batch.submit(SALES)
            assert isinstance(news, News)  # noqa: S101  # _read returns News for sales
            body = news.data
            self._sales = (asked_at, body)
        return body

    async def _read(self, topics: list[Topic]) -> Sequence[OrderNow | News | None]:
        wanted: dict[str, set[str]] = {}
        for topic in topics:
            wanted.setdefault(topic.kind, set()).add(topic.id)
        found: dict[str, dict[str, Any]] = {}
        async with self._deps.db.transaction() as tx:
            for kind, ids in wanted.items():
                found[kind] = await READ[kind](tx, ids)
        return [found[topic.kind].get(topic.id) for topic in topics]


async def _read_stock(tx: Tx, ids: set[str]) -> dict[str, Any]:
    return {id: _stock_news(now) for id, now in (await rows.stock(tx, ids)).items()}


async def _read_orders(tx: Tx, ids: set[str]) -> dict[str, Any]:
    return dict(await rows.orders(tx, ids - {""}))


async def _read_buyers(tx: Tx, ids: set[str]) -> dict[str, Any]:
    return {id: _buyer_news(id, await rows.newest_orders(tx, id)) for id in ids}


async def _read_sales(tx: Tx, ids: set[str]) -> dict[str, Any]:
    version, found = await rows.sales(tx)
    return {"": News(SALES.key, (version, 0), "snapshot", _sales_data(version, found, rfc3339(tx.now)))}


READ: dict[str, Callable[[Tx, set[str]], Awaitable[dict[str, Any]]]] = {
    "stock": _read_stock,
    "order": _read_orders,
    "buyer": _read_buyers,
    "sales": _read_sales,
}


def _stock_news(now: StockNow) -> News:
    data = {"productId": now.product_id, "available": now.available, "sequence": now.version}
    return News(stock_topic(now.product_id).key, (now.version, 0), "snapshot", encode(data))


def order_news(topic: Topic, now: OrderNow) -> News:
    """Return an order's current state as news."""
    return News(topic.key, (now.version, 0), "snapshot", encode(_order(now)))


def _buyer_news(buyer_id: str, orders: Sequence[OrderNow]) -> News:
    """Return a buyer's orders, each with its own sequence; the list itself has none."""
    return News(buyer_topic(buyer_id).key, START, "snapshot", encode({"orders": [_order(now) for now in orders]}))


def _order(now: OrderNow) -> dict[str, Any]:
    data: dict[str, Any] = {
        "orderId": now.order_id,
        "status": now.status,
        "sequence": now.version,
        "at": rfc3339(now.updated_at),
        "createdAt": rfc3339(now.created_at),
        "totalAmount": decimal_amount(now.total_minor, now.currency),
        "currency": now.currency,
    }
    if now.reason:
        data["reason"] = now.reason
    if now.payment:
        data["payment"] = now.payment
    return data


def _sales_data(version: int, sales: Sequence[SaleNow], now: str) -> bytes:
    return encode({"now": now, "sequence": version, "sales": [_sale(sale) for sale in sales]})


def _sale(sale: SaleNow) -> dict[str, Any]:
    return {
        "saleId": sale.sale_id,
        "productId": sale.product_id,
        "name": sale.name,
        "price": decimal_amount(sale.price_minor, sale.currency),
        "currency": sale.currency,
        "startsAt": rfc3339(sale.starts_at),
        "endsAt": rfc3339(sale.ends_at),
        "status": sale.status,
        "stock": sale.available,
        "initial": sale.initial,
        "buyerLimit": min(filter(None, (sale.buyer_limit, sale.product_limit)), default=0),
        "saleLimit": sale.buyer_limit,
        "productLimit": sale.product_limit,
    }
