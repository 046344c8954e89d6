"""
Spells the gate's Redis keys, all in one slot; the Lua scripts beside this file spell the same.

``{gate}:p:<product>`` (hash: epoch, left, limit, version; sale, sale_limit, sale_until), ``b:`` (buyer → units, 0 once
given back), ``s:`` (buyer → units in that sale), ``c:`` (claim → qty, buyer, key, sale), ``k:`` (key → claim), ``z:``
(claim → lease's end, ms), ``{gate}:products``.
"""

from typing import Final

PRODUCTS: Final = "{gate}:products"


def level(product_id: str) -> str:
    """Return the key of the product's hash: epoch, left, limit, version and its sale."""
    return f"{{gate}}:p:{product_id}"


def leases(product_id: str) -> str:
    """Return the key of the product's claims, sorted by the end of their leases."""
    return f"{{gate}}:z:{product_id}"


def buyers(product_id: str) -> str:
    """Return the key of the units that each buyer holds of the product."""
    return f"{{gate}}:b:{product_id}"
