"""The demo's goods: a flash sale of 1,000 units and a few shelves beside it."""

import asyncio
from datetime import UTC, datetime

from shop.db.catalogue import DemoProduct, DemoSale, load_catalogue

SALE_DAYS = 7
GOODS = (
    DemoProduct("1", "PC-HEADPHONES", "Pulse One headphones", "Over-ear, 40 h, noise cancelling", 12900, 1000, 2),
    DemoProduct("2", "PC-KETTLE", "Gooseneck kettle", "1 litre, brushed steel", 5900, 500, 0),
    DemoProduct("3", "PC-LAMP", "Desk lamp", "Warm to cold white, 12 W", 3450, 500, 0),
    DemoProduct("4", "PC-NOTEBOOK", "Dotted notebook", "A5, 192 pages", 1290, 500, 0),
)
SALE = DemoSale("flash-1", "1", 4990, SALE_DAYS)


def seed(database_url: str) -> bool:
    """Load the demo into an empty catalogue; False where there is one already."""
    return asyncio.run(load_catalogue(database_url, GOODS, SALE, datetime.now(UTC)))
