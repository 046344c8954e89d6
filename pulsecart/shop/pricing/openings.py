"""Caches when sales start, so that early requests are refused without a call to the gate."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

LOOK_AGAIN = timedelta(seconds=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Openings:
    """
    Args:
        read: a product → the start of its sale; None without a sale, LookupError if the product does not exist.
    """

    def __init__(self, read: Callable[[str], Awaitable[datetime | None]]) -> None:
        self._read = read
        self._opens: dict[str, datetime] = {}
        self._looked: dict[str, datetime] = {}  # when each closed product was last read

    async def is_closed(self, product_id: str, now: datetime) -> bool:
        """
        Whether the product's sale has not started. An open sale is not read again, because PostgreSQL decides each
        order anyway; a closed one is read every LOOK_AGAIN, because it may be started earlier.
        """
        opens = self._opens.get(product_id)
        if opens is None or (opens > now and now - self._looked.get(product_id, LONG_AGO) > LOOK_AGAIN):
            opens = await self._look(product_id, now)
        return opens > now

    def forget(self, product_id: str) -> None:
        """Drop the cached start, after PostgreSQL refused an order because the sale is closed."""
        self._opens.pop(product_id, None)

    async def _look(self, product_id: str, now: datetime) -> datetime:
        try:
            opens = await self._read(product_id) or LONG_AGO
        except LookupError:
            return LONG_AGO  # the gate's rebuild refuses it; nothing is cached for invented ids
        self._opens[product_id] = opens
        self._looked.pop(product_id, None)
        if opens > now:
            self._looked[product_id] = now
        return opens
