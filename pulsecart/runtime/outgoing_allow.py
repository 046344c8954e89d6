"""Parses OUTGOING_ALLOW: networks and hosts that may be called although they are private, and by plain http too."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\Z")


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    Holds what a development or test deployment may call besides public addresses over https.

    Args:
        networks: addresses in them may be called.
        hosts: host names, in lower case and without a trailing dot; whatever they resolve to may be called.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def has_address(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether ``address`` is in one of the networks."""
        return any(address in network for network in self.networks)


def allowed_of(text: str) -> Allowed:
    """
    Parse networks, addresses and host names, separated by commas: ``127.0.0.1, ::1, 10.0.0.0/8, receiver.test``.

    Raises:
        ValueError: an entry is none of these; the message names it.
    """
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for entry in filter(None, map(str.strip, text.split(","))):
        name = entry.lower().removesuffix(".")
        try:
            networks.append(ip_network(entry))
        except ValueError:
            if not HOST.match(name) or name.rpartition(".")[2].isdigit():
                raise ValueError(
                    f"{entry!r} is no network like 10.0.0.0/8, no address, and no host name like receiver.test"
                ) from None
            hosts.add(name)
    return Allowed(tuple(networks), frozenset(hosts))
