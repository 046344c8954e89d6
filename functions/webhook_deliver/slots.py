"""Bounds the attempts in flight in one process, with a part of them for endpoints whose last attempt failed."""

from collections.abc import Iterator
from contextlib import contextmanager

SLOTS = 256
UNWELL = 128  # at most: endpoints that hang or fail leave the other half to those that answer


class Slots:
    """Counts the requests in flight; used on one event loop."""

    def __init__(self, slots: int = SLOTS, unwell: int = UNWELL) -> None:
        self._free = slots
        self._free_unwell = unwell

    @property
    def free(self) -> int:
        """Return the number of requests that may begin."""
        return max(0, self._free)

    @property
    def free_unwell(self) -> int:
        """Return how many of them may be for endpoints whose last attempt failed."""
        return max(0, min(self._free, self._free_unwell))

    @contextmanager
    def reserve(self) -> Iterator[tuple[int, int]]:
        """Reserve all free slots for one transaction, which then takes some of them."""
        reserved = self.free
        self._free -= reserved
        try:
            yield reserved, min(reserved, max(0, self._free_unwell))
        finally:
            self._free += reserved

    def take(self, *, unwell: bool) -> None:
        self._free -= 1
        self._free_unwell -= unwell

    def give_back(self, *, unwell: bool) -> None:
        self._free += 1
        self._free_unwell += unwell
