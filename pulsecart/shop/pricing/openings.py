"""Which sales have not started, from memory: before its first second a sale's gate is not stormed for nothing."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

LOOK_AGAIN = timedelta(seconds=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Openings:
    """
    Args:
        read: a product → when its sale starts or started; None for one without a sale, LookupError for no product.
    """

    def __init__(self, read: Callable[[str], Awaitable[datetime | None]]) -> None:
        self._read = read
        self._opens: dict[str, datetime] = {}
        self._looked: dict[str, datetime] = {}  # of those that are closed

    async def is_closed(self, product_id: str, now: datetime) -> bool:
        """
        Whether the product's sale has not started. What opened is not asked for again, PostgreSQL decides about it
        anyway; what is closed is looked at each LOOK_AGAIN, since somebody may let it begin earlier.
        """
        opens = self._opens.get(product_id)
        if opens is None or (opens > now and now - self._looked.get(product_id, LONG_AGO) > LOOK_AGAIN):
            opens = await self._look(product_id, now)
        return opens > now

    def forget(self, product_id: str) -> None:
        """PostgreSQL says that it is closed."""
        self._opens.pop(product_id, None)

    async def _look(self, product_id: str, now: datetime) -> datetime:
        try:
            opens = await self._read(product_id) or LONG_AGO
        except LookupError:
            return LONG_AGO  # the gate's rebuild says what it is; nothing is kept for names that somebody makes up
        self._opens[product_id] = opens
        self._looked.pop(product_id, None)
        if opens > now:
            self._looked[product_id] = now
        return opens
