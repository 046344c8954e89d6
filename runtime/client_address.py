"""From where a request comes, to count it by; it is written to no log and kept nowhere."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from runtime.http import Request

IPV6_PREFIX: Final = 64  # one subscriber's: each of its addresses would be another caller


def address_of(request: Request) -> str:
    """
    The peer's address; where that is a proxy of our own network, the last public one that ``X-Forwarded-For`` names: a
    client can write to the front of that list, never behind what a proxy appends.
    """
    peer = _parsed(request.client)
    if peer is None or peer.is_global or "x-forwarded-for" not in request.headers:
        return _network(peer) if peer else request.client
    named = [_parsed(part.strip()) for part in request.headers["x-forwarded-for"].split(",")[-8:]]
    public = [one for one in named if one is not None and one.is_global]
    return _network(public[-1] if public else peer)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX)))
