"""Keeps the connections to one host: its addresses are checked at each connect, and its calls are bounded."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig
from aiohttp.abc import AbstractResolver, ResolveResult

from pulsecart.bridges.outgoing_http.addresses import Address, is_public, parsed
from pulsecart.bridges.outgoing_http.bounded_head import BoundedHead
from pulsecart.bridges.outgoing_http.lookups import Resolve
from pulsecart.bridges.outgoing_http.results import Failure, Limits, NotAllowed
from pulsecart.runtime.outgoing_allow import Allowed

# Below the 5 s after which Node's servers close an idle connection: a request on a closing one would be lost.
KEPT_S = 4.0
NEVER_ROUND_UP = 3_600.0  # aiohttp rounds longer timeouts to whole seconds
AUTOMATIC_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Checked(AbstractResolver):
    """
    Resolves one host for aiohttp, which connects to nothing else than what this returns.

    Args:
        name: with a final dot, unless the deployment allows this host.
    """

    def __init__(self, name: str, resolve: Resolve, may: Callable[[Address], bool], wait_s: float) -> None:
        self._name = name
        self._resolve = resolve
        self._may = may
        self._wait_s = wait_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """
        Return all addresses of the host.

        Raises:
            NotAllowed: one of them is not public; a host with both kinds is refused as a whole.
            Failure: unresolvable.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                found = await self._resolve(self._name)
        except TimeoutError:
            raise Failure("unresolvable", f"its name servers did not answer within {self._wait_s:g} s") from None
        if not found:
            raise Failure("unresolvable", "the host name has no address")
        for address in found:
            check(address, self._may)
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """Do nothing: it holds nothing."""


class HostPool:
    """
    Holds the session of one host; the host is a name or an address, on any port.

    Args:
        places: one for each call in flight.
        calls: how many calls use it now.
    """

    def __init__(self, host: str, allow: Allowed, resolve: Resolve, limits: Limits, connections: int) -> None:
        named = host in allow.hosts

        def may(address: Address) -> bool:
            return named or is_public(address) or allow.has_address(address)

        connector = TCPConnector(
            resolver=Checked(host if named else f"{host}.", resolve, may, limits.connect_s),
            use_dns_cache=False,
            limit=0,
            keepalive_timeout=KEPT_S,
            socket_factory=partial(new_socket, may=may),
        )
        bounded = partial(BoundedHead, asyncio.get_running_loop(), limits.header_bytes)
        connector._factory = bounded  # type: ignore[assignment]  # there is no public name for it
        self.places = asyncio.Semaphore(connections)
        self.calls = 0
        self.session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=None, sock_connect=limits.connect_s, ceil_threshold=NEVER_ROUND_UP),
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=AUTOMATIC_HEADERS,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=limits.body_bytes,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_bytes,
            trace_configs=[_traces()],
        )


def check(address: str, may: Callable[[Address], bool]) -> None:
    """
    Raises:
        NotAllowed: this address must not be called. The message does not contain it: it could be one of our network.
    """
    if not may(parsed(address)):
        raise NotAllowed("private-address", "The host resolves to an address that is not public.")


def new_socket(info: tuple[Any, ...], may: Callable[[Address], bool]) -> socket.socket:
    """
    Create the socket of one connection, after a check of the very address that it will connect to.

    Raises:
        NotAllowed: as ``check``.
    """
    family, kind, protocol, _, address = info
    check(address[0], may)
    return socket.socket(family, kind, protocol)


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _traces() -> TraceConfig:
    """Note in a call's context whether its connection was used before."""

    async def reused(_session: ClientSession, context: Any, _params: object) -> None:
        context.trace_request_ctx.is_reused = True

    async def created(_session: ClientSession, context: Any, _params: object) -> None:
        context.trace_request_ctx.is_reused = False

    traces = TraceConfig()
    traces.on_connection_reuseconn.append(reused)
    traces.on_connection_create_end.append(created)
    return traces
