"""Queries pages of the catalogue: filtered, sorted, searched, each continuing after the previous page."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from pulsecart.runtime.db.database import Tx
from pulsecart.shop.catalogue.db.products import COLUMNS, NOT_OVER, product_of
from pulsecart.shop.catalogue.db.words import Search
from pulsecart.shop.catalogue.product import Product
from pulsecart.shop.pricing.db.rows import COLUMNS as SALE
from pulsecart.shop.pricing.db.rows import sale_of
from pulsecart.shop.pricing.sale import Sale

# Sort keys and their types. Ids break ties, so that every product has one position. Names sort by the code points of
# their lower case, whatever the database's locale. For relevance, the search provides the expression.
KEYS = {
    "name": ('lower(p.name COLLATE "pg_c_utf8")', "text"),
    "price": ("p.price_minor", "bigint"),
    "created": ("p.created_at", "timestamptz"),
    "relevance": ("", "float8"),
}
CATEGORIES_MAX = 1000


Place = str | int | float | datetime


class Wanted(Struct, frozen=True, kw_only=True):
    """
    The filters, order and position of a page.

    Args:
        words: full-text search input; empty for all products.
        currency: of the prices; required when prices are compared.
        available: whether units are left, including units of a planned sale; None for both.
        sort: a name in KEYS.
        after: (sort key in its type, product id) of the previous page's last product.
    """

    words: str = ""
    category: str | None = None
    currency: str | None = None
    price_min: int | None = None
    price_max: int | None = None
    available: bool | None = None
    sort: str = "created"
    descending: bool = False
    after: tuple[Place, str] | None = None
    limit: int = 20


class Listed(Struct, frozen=True):
    """``units``: None if it never had stock; ``sale``: open or planned; ``key``: sort key for the next cursor."""

    product: Product
    units: int | None
    sale: Sale | None
    key: str


async def page(tx: Tx, wanted: Wanted) -> tuple[list[Listed], bool]:
    """
    Return one page, and whether more follow. The request was validated before: a row that cannot be read is not the
    client's error.
    """
    sql, params = _query(wanted, tx.now)
    rows = await tx.rows(sql, params)
    found = [_listed(row) for row in rows[: wanted.limit]]
    return found, len(rows) > wanted.limit


async def categories(tx: Tx) -> list[tuple[str, int]]:
    """Return (name, number of products) of each category with products, by name."""
    return await tx.rows(
        """SELECT category, count(*) FROM products WHERE deleted_at IS NULL AND category <> ''
           GROUP BY category ORDER BY category COLLATE "C" LIMIT %s""",
        (CATEGORIES_MAX,),
    )


def _query(wanted: Wanted, now: datetime) -> tuple[str, dict[str, Any]]:
    key, kind = KEYS[wanted.sort]
    direction, beyond = ("DESC", "<") if wanted.descending else ("ASC", ">")
    conditions = ["p.deleted_at IS NULL"]
    params: dict[str, Any] = {"now": now, "most": wanted.limit + 1}
    joins = ""
    if wanted.words or wanted.sort == "relevance":
        search = Search(wanted.words)
        joins = "JOIN product_search s ON s.product_id = p.product_id"
        conditions.append(f"NOT s.deleted AND {search.condition}")
        key, params = key or search.rank, params | search.params
    filters = {
        "category": "p.category = %(category)s",
        "currency": "p.currency = %(currency)s",
        "price_min": "p.price_minor >= %(price_min)s",
        "price_max": "p.price_minor <= %(price_max)s",
        "available": "(coalesce(k.available, 0) > 0) = %(available)s",
    }
    for name, condition in filters.items():
        if (value := getattr(wanted, name)) is not None:
            conditions.append(condition)
            params[name] = value
    if wanted.after:
        conditions.append(f"({key}, p.product_id) {beyond} (%(after_key)s::{kind}, %(after_id)s)")
        params["after_key"], params["after_id"] = wanted.after
    sql = f"""
        SELECT {COLUMNS}, k.available, ({key})::text, {SALE}
        FROM products p LEFT JOIN stock k ON k.product_id = p.product_id
        LEFT JOIN flash_sales f ON f.product_id = p.product_id AND {NOT_OVER} {joins}
        WHERE {" AND ".join(conditions)} ORDER BY {key} {direction}, p.product_id {direction} LIMIT %(most)s
    """
    return sql, params


def _listed(row: Any) -> Listed:
    units, key, *sale = row[-11:]
    return Listed(product_of(row), units, sale_of(sale) if sale[0] is not None else None, key)
