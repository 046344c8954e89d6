"""Stores products in PostgreSQL: each version with its event, and the history of list prices."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg.errors import UniqueViolation

from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.db.first_replies import first_reply, keep
from pulsecart.runtime.event import Cause
from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.runtime.problem import Refused
from pulsecart.shop.catalogue.product import Product, updated
from pulsecart.shop.pricing.db.rows import SELECT as SALES
from pulsecart.shop.pricing.db.rows import sale_of
from pulsecart.shop.pricing.sale import Sale

LOCK_WAIT = "100ms"  # a concurrent price change is refused at once
COLUMNS = """p.product_id, p.sku, p.name, p.description, p.category, p.price_minor, p.currency, p.version, p.created_at,
    p.updated_at, p.deleted_at IS NOT NULL"""
NOT_OVER = "f.status <> 'ENDED' AND f.ends_at > %(now)s"


class Price(Struct, frozen=True):
    """A list price and its period; ``valid_to`` None: until further notice."""

    price_minor: int
    currency: str
    valid_from: datetime
    valid_to: datetime | None


async def by_ids(tx: Tx, product_ids: Sequence[str]) -> dict[str, Product]:
    """Return products by id, including deleted ones; unknown ids are absent."""
    rows = await tx.rows(f"SELECT {COLUMNS} FROM products p WHERE product_id = ANY(%s)", (list(product_ids),))
    return {row[0]: product_of(row) for row in rows}


async def sales(tx: Tx, product_ids: Sequence[str]) -> dict[str, Sale]:
    """Return the open or planned sale of each product, by product id; a product has at most one."""
    rows = await tx.rows(
        f"{SALES} WHERE f.product_id = ANY(%(ids)s) AND {NOT_OVER}", {"ids": list(product_ids), "now": tx.now}
    )
    return {row[1]: sale_of(row) for row in rows}


async def lock(tx: Tx, product_id: str) -> Product | None:
    """
    Return the product with its row locked.

    Raises:
        Busy: another transaction holds the row for longer than LOCK_WAIT.
    """
    await tx.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    row = await tx.row(f"SELECT {COLUMNS} FROM products p WHERE product_id = %s FOR NO KEY UPDATE", (product_id,))
    return product_of(row) if row else None


async def create(
    db: Database, product: Product, cause: Cause, key: Key | None, reply: Callable[[Product], tuple[int, str, str]]
) -> FirstReply:
    """
    Write a new product, or return the first reply under its key.

    Args:
        reply: status, body and Location for the product as written.

    Raises:
        Refused: another product has, or had, its SKU.
    """
    try:
        async with db.transaction(cause) as tx:
            return await _create_once(tx, product, key, reply)
    except UniqueViolation as error:
        async with db.transaction() as tx:  # the same request, sent twice at once, may have stored its reply
            first = await first_reply(tx, key)
        if first is None:
            raise sku_taken(product.sku) from error
        return first


async def _create_once(
    tx: Tx, product: Product, key: Key | None, reply: Callable[[Product], tuple[int, str, str]]
) -> FirstReply:
    first = await first_reply(tx, key)
    if first is not None:
        return first
    made = replace(product, created_at=tx.now, updated_at=tx.now)
    await insert(tx, made)
    return await keep(tx, key, *reply(made))


async def insert(tx: Tx, product: Product) -> None:
    """Write a product's first version, start its price history, and publish its event."""
    await tx.execute(
        "INSERT INTO products (product_id, sku, name, description, category, price_minor, currency, version,"
        " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            product.product_id,
            product.sku,
            product.name,
            product.description,
            product.category,
            product.price_minor,
            product.currency,
            product.version,
            product.created_at,
            product.updated_at,
        ),
    )
    await _price_from(tx, product, product.created_at)
    _emit(tx, product)


async def change(tx: Tx, before: Product, after: Product) -> Product:
    """
    Write and publish the next version of a locked product.

    Raises:
        Refused: another product has, or had, its SKU.
    """
    made = replace(after, version=before.version + 1, updated_at=tx.now)
    written = made.name, made.description, made.category, made.price_minor, made.version, made.updated_at
    try:
        await tx.execute(
            "UPDATE products SET sku = %s, name = %s, description = %s, category = %s, price_minor = %s, version = %s,"
            " updated_at = %s WHERE product_id = %s",
            (made.sku, *written, made.product_id),
        )
    except UniqueViolation:
        raise sku_taken(made.sku) from None
    if made.price_minor != before.price_minor:
        await _price_from(tx, made, await _end_price(tx, made.product_id))
    _emit(tx, made)
    return made


async def delete(tx: Tx, before: Product) -> None:
    """
    Write and publish a locked product's last version. Its row stays, and its SKU stays taken.

    Raises:
        Refused: a sale of the product is open or planned.
    """
    if await tx.row("SELECT 1 FROM flash_sales WHERE product_id = %s AND status <> 'ENDED'", (before.product_id,)):
        raise Refused("product-on-sale", "This product has an open or scheduled sale. End it first.")
    gone = replace(before, deleted=True, version=before.version + 1)
    await tx.execute(
        "UPDATE products SET deleted_at = %s, updated_at = %s, version = %s WHERE product_id = %s",
        (tx.now, tx.now, gone.version, gone.product_id),
    )
    await _end_price(tx, gone.product_id)
    _emit(tx, gone)


async def price_at(tx: Tx, product_id: str, at: datetime) -> Price | None:
    """Return the list price valid at ``at``; None when the product was not for sale at that time."""
    row = await tx.row(
        "SELECT price_minor, currency, valid_from, valid_to FROM product_price_history WHERE product_id = %(id)s"
        " AND valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)",
        {"id": product_id, "at": at},
    )
    return Price(*row) if row else None


def product_of(row: Sequence[Any]) -> Product:
    """Convert a row of COLUMNS."""
    return Product(**dict(zip(Product.__struct_fields__, row, strict=False)))


def sku_taken(sku: str) -> Refused:
    return Refused("sku-taken", f"Another product has or had the SKU {sku}. Choose another SKU.", sku=sku)


async def _end_price(tx: Tx, product_id: str) -> datetime:
    """End the current price and return when; at least 1 µs after its start, even if clocks differ."""
    row = await tx.row(
        "UPDATE product_price_history SET valid_to = greatest(%s, valid_from + interval '1 microsecond')"
        " WHERE product_id = %s AND valid_to IS NULL RETURNING valid_to",
        (tx.now, product_id),
    )
    return row[0] if row else tx.now


async def _price_from(tx: Tx, product: Product, valid_from: datetime) -> None:
    await tx.execute(
        "INSERT INTO product_price_history (product_id, valid_from, price_minor, currency) VALUES (%s, %s, %s, %s)",
        (product.product_id, valid_from, product.price_minor, product.currency),
    )


def _emit(tx: Tx, product: Product) -> None:
    tx.emit(updated(product), key=product.product_id, sequence=product.version)
