"""Loads a first catalogue: products, their stock, and one flash sale that starts immediately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulsecart.runtime.db.database import Database, Tx, new_pool
from pulsecart.runtime.db.shares import Shares
from pulsecart.shop.catalogue.db import products, search
from pulsecart.shop.catalogue.product import Product
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.pricing.db import sales
from pulsecart.shop.pricing.sale import Sale

CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class DemoProduct:
    """A product of the demo; ``buyer_limit`` 0 means no limit."""

    product_id: str
    sku: str
    name: str
    description: str
    price_minor: int
    units: int
    buyer_limit: int
    category: str = ""


@dataclass(frozen=True, slots=True)
class DemoSale:
    """The demo's sale before its moments are known: it starts when it is loaded."""

    sale_id: str
    product_id: str
    price_minor: int
    days: int


async def load_catalogue(database_url: str, goods: Sequence[DemoProduct], sale: DemoSale, now: datetime) -> bool:
    """Write catalogue and events in one transaction; return False if the catalogue is not empty."""
    pool = new_pool(database_url, 1)
    try:
        async with Database(pool, operation="catalogue", now=lambda: now, share=Shares(1).of(1)).transaction() as tx:
            if await tx.row("SELECT 1 FROM products LIMIT 1"):
                return False
            for product in goods:
                await _add(tx, product)
            await _start(tx, sale)
            await search.rebuild(tx)  # in a new shop, the events' subscribers have no cursor yet
        return True
    finally:
        await pool.close()


async def _add(tx: Tx, product: DemoProduct) -> None:
    first_version = Product(
        product_id=product.product_id,
        sku=product.sku,
        name=product.name,
        description=product.description,
        category=product.category,
        price_minor=product.price_minor,
        currency=CURRENCY,
        version=1,
        created_at=tx.now,
        updated_at=tx.now,
    )
    await products.insert(tx, first_version)
    await tx.execute(
        "INSERT INTO stock (product_id, available, buyer_limit, version) VALUES (%s, %s, %s, 1)",
        (product.product_id, product.units, product.buyer_limit),
    )
    await tx.execute(
        "INSERT INTO inventory_adjustment (product_id, delta, reason) VALUES (%s, %s, 'INITIAL')",
        (product.product_id, product.units),
    )
    first = StockAdjusted(productId=product.product_id, delta=product.units, available=product.units, reason="INITIAL")
    tx.emit(first, key=product.product_id, sequence=1, stockreason="initial")


async def _start(tx: Tx, sale: DemoSale) -> None:
    started = Sale(
        sale_id=sale.sale_id,
        product_id=sale.product_id,
        price_minor=sale.price_minor,
        currency=CURRENCY,
        starts_at=tx.now,
        ends_at=tx.now + timedelta(days=sale.days),
        status="STARTED",
    )
    await sales.schedule(tx, started)
