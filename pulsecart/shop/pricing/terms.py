"""Computes a product's current price and buyer limit from the product's own terms and those of its flash sale."""

from datetime import datetime

from msgspec import Struct


class StockRow(Struct, frozen=True):
    """One product's locked row; ``sale`` is its flash sale that has not ended, if any."""

    available: int
    epoch: int
    version: int
    buyer_limit: int
    price_minor: int
    currency: str
    sale: "SaleRow | None" = None


class SaleRow(Struct, frozen=True):
    """
    The part of a sale that decides about an order, not a whole ``Sale``: checkout reads it in one statement with the
    stock rows, for each batch, and the rest would be more columns to send and parse.

    Args:
        buyer_limit: units that one buyer may have in this sale; 0 means no limit.
    """

    price_minor: int
    starts_at: datetime
    ends_at: datetime
    sale_id: str = ""
    buyer_limit: int = 0


def is_open(sale: SaleRow | None, now: datetime) -> bool:
    """Whether the product can be bought: always without a sale, else from the sale's start on (list price after it)."""
    return sale is None or sale.starts_at <= now


def in_sale(sale: SaleRow, now: datetime) -> bool:
    """Whether an order placed now belongs to this sale and gets its price."""
    return sale.starts_at <= now < sale.ends_at


def unit_price(row: StockRow, now: datetime) -> int:
    """Return minor units: the sale's price while the sale is open, else the list price."""
    if row.sale is not None and in_sale(row.sale, now):
        return row.sale.price_minor
    return row.price_minor


def limit_per_order(row: StockRow, now: datetime) -> int:
    """Return the units one order may have: the smaller limit of the product and its unfinished sale; 0 for no limit."""
    sale_limit = row.sale.buyer_limit if row.sale is not None and now < row.sale.ends_at else 0
    return min(filter(None, (row.buyer_limit, sale_limit)), default=0)
