"""Forwards ``/api``, ``/events`` and ``/pubsub`` requests from the edge to the operation of their route."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from pulsecart.edge.routes import load
from pulsecart.runtime.backoff import jittered
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.peers import Peers
from pulsecart.runtime.problem import Malformed, Problem, Unavailable
from pulsecart.runtime.telemetry.metrics import Requests
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.serving.asgi import Receive, Scope, Send, send_reply
from pulsecart.serving.headers import fields_of
from pulsecart.serving.http import TIMEOUT, seconds_of
from pulsecart.serving.replies import no_route, reply_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

log = logging.getLogger(__name__)
ANSWER_S = 60.0  # covers a cold start and then the operation's own deadline
PAUSE_S = 0.25
LEAST_S = 0.001
NOT_PASSED_ON = frozenset(
    {
        "connection",
        "expect",  # this process has answered it
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
KEPT = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})  # even if named in "Connection"
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
NO_ANSWER = frozenset({502, 503, 504})


class Forward:
    """
    An ASGI app that forwards requests to the operations' own deployments.

    Args:
        peers: the peers that requests are forwarded to; their replies are streamed back unchanged.
    """

    def __init__(self, peers: Peers, deps: Deps) -> None:
        self._peers = peers
        self._deps = deps
        self._table = load()
        self._counted: dict[str, Requests] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        found = self._table.find(method, path)
        if found is None:
            await send_reply(send, no_route(method, path, self._table.methods(path)))
            return
        operation, _ = found
        began = time.perf_counter()
        status = await self._forwarded(operation, scope, receive, send)
        self._counter(operation).add(status, (time.perf_counter() - began) * 1000)

    def _counter(self, operation: str) -> Requests:
        if operation not in self._counted:
            self._counted[operation] = Requests("edge", f"to {operation}")
        return self._counted[operation]

    async def _forwarded(self, operation: str, scope: Scope, receive: Receive, send: Send) -> int:
        """Forward the request, and return the status that was sent to the client."""
        path, method = scope["path"], scope["method"]
        try:
            request_headers = fields_of(scope["headers"])
        except Malformed as error:
            await send_reply(send, reply_of(error))
            return error.status
        with span(f"edge to {operation}", request_headers.get("traceparent")) as trace:
            headers = _passed_on(request_headers, scope) | {"traceparent": trace.traceparent}
            url = self._peers.url(operation) + (scope.get("raw_path") or path.encode()).decode("latin-1")
            if scope["query_string"]:
                url += "?" + scope["query_string"].decode("latin-1")
            try:
                patience_s = min(ANSWER_S, seconds_of(headers[TIMEOUT])) if TIMEOUT in headers else ANSWER_S
                response = await self._answered(method, url, headers, await _body(receive), patience_s)
            except Malformed as error:
                reply = reply_of(error)
                await send_reply(send, reply)
                return reply.status
            except (TimeoutError, OSError) as error:
                log.warning("%s %s got no answer: %r", method, url.partition("?")[0], error)
                reply = reply_of(_unanswered(method, headers))
                await send_reply(send, reply)
                return reply.status
            async with response:
                trace.set("http.response.status_code", response.status)
                await _pass_back(response, send)
                return response.status

    async def _answered(
        self, method: str, url: str, headers: dict[str, str], body: bytes | AsyncIterator[bytes], patience_s: float
    ) -> "ClientResponse":
        """
        Send the request and return the operation's response.

        While a pod starts or stops, a proxy on the way (gateway, activator) may respond in its place with 502, 503 or
        504. The request is retried if a repetition has no second effect.

        Raises:
            TimeoutError, OSError: the operation itself sent no response.
        """
        from aiohttp import ClientConnectorError, ClientError
        from yarl import URL

        repeatable = isinstance(body, bytes) and (method in REPEATABLE or "idempotency-key" in headers)
        target = URL(url, encoded=True)
        async with asyncio.timeout(patience_s) as limit:
            while True:
                if TIMEOUT in headers:  # the time left
                    left_s = (limit.when() or 0.0) - asyncio.get_running_loop().time()
                    headers[TIMEOUT] = f"{max(left_s, LEAST_S):.3f}"
                try:
                    response = await self._deps.http.request(
                        method, target, headers=headers, data=body, allow_redirects=False
                    )
                except ClientConnectorError as error:  # the request was not sent
                    if not isinstance(body, bytes):
                        raise OSError(str(error)) from error
                except ClientError as error:
                    if not repeatable:
                        raise OSError(f"{type(error).__name__}: {error}") from error
                else:
                    if response.status not in NO_ANSWER or "correlation-id" in response.headers:
                        return response
                    response.release()
                    if not repeatable:
                        raise OSError(f"status {response.status} on the way")
                await asyncio.sleep(jittered(PAUSE_S))


def _unanswered(method: str, headers: Mapping[str, str]) -> Problem:
    if method in REPEATABLE or "idempotency-key" in headers:
        return Unavailable("no-answer", "This part of the shop does not answer. Try again in a second.")
    return Unavailable(
        "outcome-unknown",
        "It is not known whether the request took effect. Read the current state before you repeat it.",
    )


def _passed_on(request_headers: Mapping[str, str], scope: Scope) -> dict[str, str]:
    own = {name.strip().lower() for name in request_headers.get("connection", "").split(",")} - KEPT  # RFC 9110 §7.6.1
    headers = {name: value for name, value in request_headers.items() if name not in NOT_PASSED_ON and name not in own}
    client = scope.get("client")
    known = [request_headers.get("x-forwarded-for", ""), client[0] if client else ""]
    headers["x-forwarded-for"] = ", ".join(part for part in known if part)
    headers.setdefault("x-forwarded-host", request_headers.get("host", ""))
    return headers


async def _body(receive: Receive) -> bytes | AsyncIterator[bytes]:
    message = await receive()
    first: bytes = message.get("body", b"")
    return _chunks(first, receive) if message.get("more_body") else first


async def _chunks(first: bytes, receive: Receive) -> AsyncIterator[bytes]:
    yield first
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client disconnected before its end")
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def _pass_back(response: Any, send: Send) -> None:
    headers = [(name.lower(), value) for name, value in response.raw_headers]
    headers = [(name, value) for name, value in headers if name.decode("latin-1") not in NOT_PASSED_ON]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if response.content_length is not None:
        await send({"type": "http.response.body", "body": await response.read()})
        return
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
