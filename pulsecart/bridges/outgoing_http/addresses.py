"""Decides which addresses may be called: public unicast addresses, and no other."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# IANA's special-purpose registries, written out: what ``ipaddress`` calls global differs between versions of Python.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers (CGNAT); Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host service, of public form
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Everything else is not global unicast: loopback, mapped and compatible IPv4, unique local, link-local, multicast.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an embedded IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # what DNS64 makes of a public IPv4 address where only IPv6 is routed
_LAST_32 = 0xFFFF_FFFF


def is_public(address: Address) -> bool:
    """Return whether ``address`` is a public unicast address; a NAT64 address is judged by the IPv4 address in it."""
    if isinstance(address, IPv6Address) and address in _NAT64:
        address = IPv4Address(int(address) & _LAST_32)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def parsed(text: str) -> Address:
    """Parse an address as a resolver returns it; a zone id (``fe80::1%eth0``) is dropped."""
    return ip_address(text.partition("%")[0])
