"""The limit of a flash sale, as the gate and the stock's rows have it."""

from datetime import datetime

from msgspec import Struct


class SaleLimit(Struct, frozen=True):
    """
    How many units one buyer may have in a product's flash sale, as the gate keeps it.

    Args:
        units: > 0.
        buyers: (buyer, units counted against it).
    """

    sale_id: str
    units: int
    ends_at: datetime
    buyers: tuple[tuple[str, int], ...] = ()
