"""Reads a flash sale from a row; apart from ``sales``, because readers need not load the code that changes sales."""

from collections.abc import Sequence
from typing import Any

from pulsecart.shop.pricing.sale import Sale

COLUMNS = """f.sale_id, f.product_id, f.price_minor, p.currency, f.starts_at, f.ends_at, f.status, f.version,
    f.buyer_limit"""
SELECT = f"SELECT {COLUMNS} FROM flash_sales f JOIN products p USING (product_id)"


def sale_of(row: Sequence[Any]) -> Sale:
    """Return the sale of a row that begins with COLUMNS."""
    return Sale(**dict(zip(Sale.__struct_fields__, row, strict=False)))
