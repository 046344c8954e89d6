"""Determines a request's client address: the connection's peer, or the address that a trusted proxy reports."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.settings import MissingSetting

REMEMBERED = 4096
FORWARDED = "x-forwarded-for"
IPV6_REST = 64


class Proxies:
    """
    Holds the trusted proxies: their ``X-Forwarded-For`` is accepted, and each connects on behalf of many clients.

    Args:
        networks: separated by commas, such as ``127.0.0.0/8, ::1, 10.0.0.0/8``; empty for none.

    Raises:
        MissingSetting: an entry is no network.
    """

    def __init__(self, networks: str) -> None:
        try:
            self._networks = [ip_network(text.strip(), strict=False) for text in networks.split(",") if text.strip()]
        except ValueError as error:
            raise MissingSetting(f"TRUSTED_PROXIES={networks!r}: {error}") from None
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._trusted(address)
        return known

    def client_of(self, headers: Mapping[str, str], peer: str) -> str:
        """
        Return the nearest address that is no trusted proxy, or the farthest one if all are.

        Args:
            headers: names in lower case.
            peer: the connection's peer address; empty if it has none.
        """
        forwarded = headers.get(FORWARDED, "")
        if not forwarded or peer not in self:
            return peer
        client = peer
        for hop in reversed(forwarded.split(",")):
            address = _bare(hop)
            if not address:
                break  # not an address: do not trust the entries before it either
            client = address
            if client not in self:
                break
        return client

    def counted(self, headers: Mapping[str, str], peer: str) -> str:
        """Return the client's address for rate limits; for IPv6 the first 64 bits, which one subscriber holds."""
        client = self.client_of(headers, peer)
        try:
            parsed = ip_address(client.partition("%")[0])
        except ValueError:
            return client
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        if isinstance(parsed, IPv4Address):
            return str(parsed)
        return str(IPv6Address(int(parsed) >> IPV6_REST << IPV6_REST))

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return address == ""  # a Unix socket
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)


def proxies_of(deps: Deps) -> Proxies:
    """Create the process's Proxies, for ``deps.singleton``."""
    return Proxies(deps.settings.trusted_proxies)


def _bare(hop: str) -> str:
    """Return an address without port and brackets; empty if it is invalid."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
