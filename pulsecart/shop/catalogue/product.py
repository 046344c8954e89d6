"""A product of the catalogue, and how it is shown and told."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from pulsecart.shop.messages import ProductUpdated
from pulsecart.shop.money import decimal_amount, wire_id


class Product(Struct, frozen=True, kw_only=True):
    """
    One version of a product.

    Args:
        price_minor: the list price of one unit.
        version: the sequence of its newest event, 1 for a new product.
        deleted: it is sold no more; lines of orders still name it.
    """

    product_id: str
    sku: str
    name: str
    description: str
    category: str
    price_minor: int
    currency: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted: bool = False


class OpenSale(Struct, frozen=True, kw_only=True):
    """A sale that is open, or to come; ``version`` is the sequence of its newest event."""

    sale_id: str
    product_id: str
    price_minor: int
    currency: str
    starts_at: datetime
    ends_at: datetime
    version: int


def product_etag(version: int, sale_version: int | None = None, *, opens: bool = False) -> str:
    """``"7"``; ``"7-12"`` while a sale stands beside the product, ``"7-12-next"`` before it ``opens``."""
    if sale_version is None:
        return f'"{version}"'
    return f'"{version}-{sale_version}-next"' if opens else f'"{version}-{sale_version}"'


def product_document(product: Product) -> dict[str, Any]:
    """A product as ``GET /api/v1/products/{id}`` shows it, without its sale."""
    return {
        "productId": wire_id(product.product_id),
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "category": product.category,
        "price": decimal_amount(product.price_minor, product.currency),
        "currency": product.currency,
        "version": product.version,
        "createdAt": product.created_at,
        "updatedAt": product.updated_at,
    }


def sale_document(sale: OpenSale) -> dict[str, Any]:
    """What stands beside the list price: as ``sale`` while it holds, as ``nextSale`` before."""
    return {
        "saleId": sale.sale_id,
        "price": decimal_amount(sale.price_minor, sale.currency),
        "currency": sale.currency,
        "startsAt": sale.starts_at,
        "endsAt": sale.ends_at,
    }


def sale_member(starts_at: datetime | None, now: datetime) -> str:
    """Where it stands in a product's document: the clock decides, so that a copy is right without another event."""
    return "nextSale" if starts_at and starts_at > now else "sale"


def updated(product: Product) -> ProductUpdated:
    """The event of this version: all that a copy needs."""
    return ProductUpdated(
        productId=product.product_id,
        sku=product.sku,
        name=product.name,
        description=product.description,
        category=product.category,
        price=decimal_amount(product.price_minor, product.currency),
        currency=product.currency,
        status="DELETED" if product.deleted else "ACTIVE",
    )
