"""Models a flash sale and its document in events, the API, live streams and products."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from pulsecart.runtime.event import rfc3339
from pulsecart.shop.money import decimal_amount


class Sale(Struct, frozen=True, kw_only=True):
    """
    ``status``: SCHEDULED, STARTED, ENDED; ``version``: the sequence of its newest event, one for each change.

    Args:
        buyer_limit: units that one buyer may have in this sale, in addition to the product's own limit; 0 for none.
    """

    sale_id: str
    product_id: str
    price_minor: int
    currency: str
    starts_at: datetime
    ends_at: datetime
    status: str = "SCHEDULED"
    version: int = 0
    buyer_limit: int = 0


def sale_document(sale: Sale) -> dict[str, Any]:
    """Return the members of its events, with which the API's and the live streams' documents begin."""
    return {
        "saleId": sale.sale_id,
        "productId": sale.product_id,
        "price": decimal_amount(sale.price_minor, sale.currency),
        "currency": sale.currency,
        "startsAt": rfc3339(sale.starts_at),
        "endsAt": rfc3339(sale.ends_at),
    }


def sale_of_product(sale: Sale) -> dict[str, Any]:
    """Return the document inside a product's: without the product's id, and whole seconds without ``.000000``."""
    document = sale_document(sale) | {"startsAt": sale.starts_at, "endsAt": sale.ends_at}
    del document["productId"]
    return document
