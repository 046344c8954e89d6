"""Limits the live streams and WebSockets open in this process: per caller, per address and in total."""

from collections import Counter

from pulsecart.runtime.deps import Deps
from pulsecart.serving.addresses import proxies_of
from pulsecart.serving.http import Request

STREAMS_MAX = 20_000


class Place:
    """The place of one stream or socket; ``leave`` releases it once."""

    __slots__ = ("_holders", "_places")

    def __init__(self, places: "Places", holders: tuple[str, ...]) -> None:
        self._places: Places | None = places
        self._holders = holders

    def leave(self) -> None:
        if self._places is not None:
            self._places.give_back(self._holders)
            self._places = None


class Places:
    """All places of this process; made with ``deps.singleton(Places)``."""

    def __init__(self, deps: Deps) -> None:
        self._per_caller = deps.settings.streams_per_caller
        self._per_address = deps.settings.streams_per_address
        self._proxies = deps.singleton(proxies_of)
        self._held: Counter[str] = Counter()
        self._all = 0

    def take(self, request: Request, buyer_id: str | None) -> Place | None:
        """
        Take a place, or return None at the limit of the caller, the address or the process.

        Args:
            buyer_id: the caller; None if unknown; then only the limit per address applies.
        """
        bounds = {"a:" + self._proxies.counted(request.headers, request.peer): self._per_address}
        if buyer_id is not None:
            bounds["c:" + buyer_id] = self._per_caller
        if self._all >= STREAMS_MAX or any(self._held[holder] >= most for holder, most in bounds.items()):
            return None
        self._all += 1
        holders = tuple(bounds)
        self._held.update(holders)
        return Place(self, holders)

    def give_back(self, holders: tuple[str, ...]) -> None:
        """Release a place; only ``Place.leave`` calls this."""
        self._all -= 1
        for holder in holders:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
