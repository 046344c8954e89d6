"""Models the buyer limit of a flash sale, as the gate and the stock rows store it."""

from datetime import datetime

from msgspec import Struct


class SaleLimit(Struct, frozen=True):
    """
    The number of units that one buyer may have in a product's flash sale, as the gate stores it.

    Args:
        units: the limit, > 0.
        buyers: (buyer, units counted against it).
    """

    sale_id: str
    units: int
    ends_at: datetime
    buyers: tuple[tuple[str, int], ...] = ()
