"""Calls addresses that strangers chose: it checks every address at each connect, and bounds time and bytes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pulsecart.bridges.outgoing_http.results import Answer, Limits
from pulsecart.runtime.outgoing_allow import Allowed, allowed_of

if TYPE_CHECKING:
    from pulsecart.runtime.deps import Deps

CONNECTIONS_PER_HOST = 16
LIMITS = Limits()


class OutgoingHttp:
    """
    Sends requests to addresses that strangers chose; one per process, ``deps.singleton(outgoing_http)``.

    Args:
        connections_per_host: requests in flight to one host at once; more wait, within their own time.
    """

    def __init__(
        self, allow: Allowed, limits: Limits = LIMITS, connections_per_host: int = CONNECTIONS_PER_HOST
    ) -> None:
        self._allow = allow
        self._limits = limits
        self._per_host = connections_per_host

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        total_s: float | None = None,
    ) -> Answer:
        """
        Send one request and return its answer, whatever its status.

        Args:
            total_s: instead of ``Limits.total_s``.

        Raises:
            NotAllowed: the URL, a header, or an address that the host resolves to must not be used.
            Failure: no answer came.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection; calls in flight fail."""


def outgoing_http(deps: "Deps") -> OutgoingHttp:
    """Create the process's client, for ``deps.singleton``; it is closed with the Deps."""
    client = OutgoingHttp(allowed_of(deps.settings.outgoing_allow))
    deps.closing.append(client.close)
    return client
