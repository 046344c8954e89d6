"""Models a product of the catalogue, its documents in the API, and its event."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from pulsecart.shop.catalogue.events import ProductUpdated
from pulsecart.shop.money import decimal_amount, wire_id


class Product(Struct, frozen=True, kw_only=True):
    """
    One version of a product.

    Args:
        price_minor: the list price of one unit.
        version: the sequence of its newest event, 1 for a new product.
        deleted: no longer sold; lines of existing orders still refer to it.
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


def product_etag(version: int, sale_version: int | None = None, *, opens: bool = False) -> str:
    """Return ``"7"``; ``"7-12"`` while a sale is open, ``"7-12-next"`` before it ``opens``."""
    if sale_version is None:
        return f'"{version}"'
    return f'"{version}-{sale_version}-next"' if opens else f'"{version}-{sale_version}"'


def product_document(product: Product) -> dict[str, Any]:
    """Return a product as ``GET /api/v1/products/{id}`` shows it, without its sale."""
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


def sale_member(starts_at: datetime | None, now: datetime) -> str:
    """Return the member name of a sale in a product's document, by the clock: no event is needed to update copies."""
    return "nextSale" if starts_at and starts_at > now else "sale"


def updated(product: Product) -> ProductUpdated:
    """Return the event of this version, with all the data that a copy needs."""
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
