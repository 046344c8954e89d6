"""Reads the current state of live streams' topics from PostgreSQL, as JSON for their clients."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pulsecart.edge.streams import rows
from pulsecart.edge.streams.news import encode
from pulsecart.edge.streams.rows import OrderNow, SaleNow, StockNow
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import rfc3339
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.pricing.sale import sale_document


@dataclass(frozen=True, slots=True)
class State:
    """
    The current state of one topic.

    Args:
        sequence: of the newest event it includes; 0 if the state as a whole has none.
        data: JSON in one line.
        buyer_id: the buyer of the order; empty if it is no order.
    """

    sequence: int
    data: bytes
    buyer_id: str = ""


async def orders(tx: Tx, ids: Collection[str]) -> dict[str, State]:
    """Return the orders by id; unknown ids are absent."""
    found = await rows.orders(tx, {id for id in ids if id})
    return {id: State(now.version, encode(_order(now)), now.buyer_id) for id, now in found.items()}


async def stock(tx: Tx, ids: Collection[str]) -> dict[str, State]:
    """Return the products' stock by product id; unknown ids are absent."""
    return {id: State(now.version, encode(_stock(now))) for id, now in (await rows.stock(tx, ids)).items()}


async def buyers(tx: Tx, ids: Collection[str]) -> dict[str, State]:
    """Return each buyer's orders, each order with its own sequence; the list itself has none."""
    found = {id: await rows.newest_orders(tx, id) for id in ids}
    return {id: State(0, encode({"orders": [_order(now) for now in orders]})) for id, orders in found.items()}


async def sales(tx: Tx, ids: Collection[str]) -> dict[str, State]:
    """Return all sales, whatever ``ids``, under the only id of their topic."""
    version, found = await rows.sales(tx)
    return {"": State(version, _sales(version, found, rfc3339(tx.now)))}


def _stock(now: StockNow) -> dict[str, Any]:
    return {"productId": now.product_id, "available": now.available, "sequence": now.version}


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


def _sales(version: int, sales: Sequence[SaleNow], now: str) -> bytes:
    return encode({"now": now, "sequence": version, "sales": [_sale(sale) for sale in sales]})


def _sale(now: SaleNow) -> dict[str, Any]:
    sale = now.sale
    first = {"saleId": sale.sale_id, "productId": sale.product_id, "name": now.name}
    return (
        first
        | sale_document(sale)
        | {
            "status": sale.status,
            "stock": now.available,
            "initial": now.initial,
            "buyerLimit": min(filter(None, (sale.buyer_limit, now.product_limit)), default=0),
            "saleLimit": sale.buyer_limit,
            "productLimit": now.product_limit,
        }
    )
