"""Reads the URL of a call strictly, so that no other parser can understand another host."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from pulsecart.bridges.outgoing_http.addresses import Address, is_public
from pulsecart.bridges.outgoing_http.results import NotAllowed
from pulsecart.runtime.outgoing_allow import HOST, Allowed

URL_MAX = 2_048
PORTS = {"http": 80, "https": 443}
# Names of one machine, one network or one cluster, by RFC 6761, RFC 6762, RFC 8375 and ICANN's resolution of 2024.
LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa")

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#\\]*)(?P<path>[^#]*)(?P<fragment>#.*)?", re.DOTALL
)
_PATH = re.compile(r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")  # the last label of what other parsers take for an IPv4 address


@dataclass(frozen=True, slots=True)
class Target:
    """
    Holds the parts of a checked URL.

    Args:
        host: in lower case, as ASCII, without a trailing dot and without brackets.
        path: with the query, as it was written; begins with a slash.
        address: the host's, where it is no name.
        allowed: the host stands in the allow list, or its address does.
    """

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None
    allowed: bool


def check_url(url: str, allow: Allowed) -> None:
    """
    Check a URL as far as that is possible without resolving its host, when a subscription is created.

    Raises:
        NotAllowed: it could never be called; the message says what to change.
    """
    target_of(url, allow)


def target_of(url: str, allow: Allowed) -> Target:
    """
    Parse and check a URL.

    Raises:
        NotAllowed: as ``check_url``.
    """
    scheme, authority, path = _split(url)
    host, port = _host_and_port(authority, scheme)
    address = _address(host)
    host = str(address) if address else _name(host)
    allowed = allow.has_address(address) if address else host in allow.hosts
    if not allowed:
        _check_public(scheme, host, address)
    return Target(scheme, host, port, path, address, allowed)


def _split(url: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(url)
    if len(url) > URL_MAX or not found:
        raise NotAllowed("url", f"Send a URL like https://hooks.example/orders, of at most {URL_MAX} characters.")
    scheme, path = found["scheme"].lower(), found["path"]
    if scheme not in PORTS:
        raise NotAllowed("scheme", "The URL must begin with https://.")
    if "@" in found["authority"]:
        raise NotAllowed("credentials", "The URL has a user name or password. Remove it: messages are signed instead.")
    if found["fragment"] is not None:
        raise NotAllowed("fragment", "The URL has a fragment (#), which is never sent. Remove it.")
    if not _PATH.fullmatch(path):
        raise NotAllowed("url", "Percent-encode spaces and special characters in the URL's path and query.")
    return scheme, found["authority"], path if path.startswith("/") else f"/{path}"


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise NotAllowed("port", "The URL's port must be a number from 1 to 65535.")
    return host, int(port) if port else PORTS[scheme]


def _address(host: str) -> Address | None:
    """Parse a host that is no name: IPv6 in brackets, IPv4 as four decimal numbers."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1] if host.endswith("]") and "%" not in host else "")
        except AddressValueError:
            raise NotAllowed("host", "The URL has no valid IPv6 address, without a zone, in its brackets.") from None
    try:
        return IPv4Address(host)
    except AddressValueError:
        return None


def _name(host: str) -> str:
    if not host.isascii():
        host = _idna(host)
    host = host.lower().removesuffix(".")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise NotAllowed("host", "Write an IPv4 address as four decimal numbers, like 192.0.2.1, without a final dot.")
    if not HOST.match(host):
        raise NotAllowed("host", "The URL's host is no valid name.")
    return host


def _idna(host: str) -> str:
    import idna  # only where it is needed: 250 kB of tables

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise NotAllowed("host", "The URL's host is no valid internationalized name.") from None


def _check_public(scheme: str, host: str, address: Address | None) -> None:
    if address and not is_public(address):
        raise NotAllowed("private-address", "The URL's address is not public. Use one that the internet can reach.")
    if not address and ("." not in host or host.endswith(tuple(f".{name}" for name in LOCAL_NAMES))):
        raise NotAllowed("private-address", "The URL's host is a local name. Use one that the internet can resolve.")
    if scheme != "https":
        raise NotAllowed("scheme", "The URL must begin with https://: messages would be readable on their way.")
