"""Calls addresses that partners choose: it checks every address at each connect, and bounds time and bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from ssl import SSLContext, create_default_context
from typing import TYPE_CHECKING

from pulsecart.bridges.outgoing_http.headers import check_headers
from pulsecart.bridges.outgoing_http.lookups import Lookups, Resolve
from pulsecart.bridges.outgoing_http.results import Answer, Call, Failure, Limits
from pulsecart.bridges.outgoing_http.urls import Target, target_of
from pulsecart.runtime.outgoing_allow import Allowed, allowed_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from pulsecart.bridges.outgoing_http.pools import HostPool
    from pulsecart.runtime.deps import Deps

CONNECTIONS_PER_HOST = 100  # the highest concurrency of a webhook subscription
HOSTS_KEPT = 128
LIMITS = Limits()
FINAL = 200


class OutgoingHttp:
    """
    Sends requests to addresses that partners choose; one per process, ``deps.singleton(outgoing_http)``.

    It follows no redirect, uses no proxy and no cookies, decompresses nothing, and verifies certificates with the
    system's store (or SSL_CERT_FILE's). It keeps idle connections for some seconds; one belongs to one host name.

    Args:
        connections_per_host: requests in flight to one host at once; more wait, within their own time.
        resolve: returns the addresses of a name.
    """

    def __init__(
        self,
        allow: Allowed,
        limits: Limits = LIMITS,
        connections_per_host: int = CONNECTIONS_PER_HOST,
        *,
        resolve: Resolve | None = None,
    ) -> None:
        self._allow = allow
        self._limits = limits
        self._per_host = connections_per_host
        self._resolve = resolve or Lookups().addresses
        self._pools: OrderedDict[str, HostPool] = OrderedDict()
        self._tls: SSLContext | None = None
        self._closed = False

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, *, total_s: float | None = None
    ) -> Answer:
        """
        Send one request and return its answer, whatever its status.

        Args:
            total_s: instead of ``Limits.total_s``.

        Raises:
            NotAllowed: the URL, a header, or an address that the host resolves to must not be used.
            Failure: no answer came.
        """
        target = target_of(url, self._allow)
        check_headers(headers)
        total_s = self._limits.total_s if total_s is None else total_s
        deadline = asyncio.get_running_loop().time() + total_s
        async with self._place(target.host, deadline) as pool:
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._start(pool, method, target, headers, body)
            except TimeoutError:
                raise Failure("timeout", f"it did not answer within {total_s:g} s") from None
            return await _answer(response, deadline, self._limits.body_bytes)

    async def close(self) -> None:
        """Close every connection; calls in flight fail."""
        self._closed = True
        while self._pools:
            await self._pools.popitem()[1].session.close()

    @asynccontextmanager
    async def _place(self, host: str, deadline: float) -> "AsyncIterator[HostPool]":
        """Hold one of the host's places."""
        pool = self._pool(host)
        pool.calls += 1
        try:
            await self._forget_idle()
            try:
                async with asyncio.timeout_at(deadline):
                    await pool.places.acquire()
            except TimeoutError:
                raise Failure("busy", f"{self._per_host} other requests to this host took all the time") from None
            try:
                yield pool
            finally:
                pool.places.release()
        finally:
            pool.calls -= 1

    def _pool(self, host: str) -> "HostPool":
        from pulsecart.bridges.outgoing_http.pools import HostPool  # loads aiohttp: 200 ms

        if self._closed:
            raise RuntimeError("this client is closed")
        if host not in self._pools:
            self._pools[host] = HostPool(host, self._allow, self._resolve, self._limits, self._per_host)
        self._pools.move_to_end(host)
        return self._pools[host]

    async def _forget_idle(self) -> None:
        """Close the connections to the hosts that were called longest ago, so that their number is bounded."""
        idle = (host for host, pool in self._pools.items() if not pool.calls)
        for host in list(islice(idle, max(0, len(self._pools) - HOSTS_KEPT))):
            await self._pools.pop(host).session.close()

    async def _start(
        self, pool: "HostPool", method: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes
    ) -> "ClientResponse":
        """Send the request and receive the answer's head; repeat it if a kept connection was closed meanwhile."""
        from aiohttp import ClientError
        from yarl import URL

        from pulsecart.bridges.outgoing_http.failures import failure_of, is_lost

        path, _, query = target.path.partition("?")
        url = URL.build(
            scheme=target.scheme, host=target.host, port=target.port, path=path, query_string=query, encoded=True
        )
        while True:
            call = Call()
            try:
                return await pool.session.request(
                    method,
                    url,
                    headers=[*headers, ("accept-encoding", "identity")],
                    data=body or None,
                    allow_redirects=False,
                    ssl=await self._verifying() if target.scheme == "https" else True,
                    trace_request_ctx=call,
                )
            except ClientError as error:
                if not (call.is_reused and is_lost(error)):
                    raise failure_of(error) from error

    async def _verifying(self) -> SSLContext:
        if self._tls is None:
            made = await asyncio.to_thread(create_default_context)  # reads all certificates: 50 ms
            self._tls = self._tls or made
        return self._tls


async def _answer(response: "ClientResponse", deadline: float, body_bytes: int) -> Answer:
    """Read the body as far as it is kept; once the status has arrived, a broken or endless body is no failure."""
    from aiohttp import ClientError

    body, is_complete = bytearray(), False
    try:
        if response.status < FINAL:
            raise Failure("protocol", f"its answer has the status {response.status}, without a final one")
        async with asyncio.timeout_at(deadline):
            while len(body) <= body_bytes and not is_complete:
                part = await response.content.read(body_bytes + 1 - len(body))
                body += part
                is_complete = not part
    except (ClientError, OSError):  # TimeoutError is one of the latter
        pass
    finally:
        if not is_complete:
            response.close()
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    return Answer(response.status, headers, bytes(body[:body_bytes]), cut=not is_complete)


def outgoing_http(deps: "Deps") -> OutgoingHttp:
    """Create the process's client, for ``deps.singleton``; it is closed with the Deps."""
    client = OutgoingHttp(allowed_of(deps.settings.outgoing_allow))
    deps.closing.append(client.close)
    return client
