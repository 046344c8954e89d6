"""Adapts ASGI to operations: converts ASGI messages to requests and replies, without a framework."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from pulsecart.runtime.problem import Problem
from pulsecart.serving.headers import fields_of
from pulsecart.serving.http import Reply, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


class TooLarge(Problem):
    status = 413
    title = "Too large"


async def request_of(scope: Scope, receive: Receive, max_bytes: int) -> Request:
    """
    Read a request with its body.

    Raises:
        Malformed: a single-valued header is repeated.
        TooLarge: the body has more than ``max_bytes``.
        ConnectionError: the client disconnected before the end of the body.
    """
    request = head_of(scope)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)  # before a client with Expect: 100-continue sends it
    request.body = await _body(receive, max_bytes)
    return request


def head_of(scope: Scope) -> Request:
    """Read a request without its body; raises Malformed as ``request_of`` does."""
    client = scope.get("client")
    return Request(
        method=scope.get("method", "GET"),  # a WebSocket scope has none
        path=scope["path"],
        headers=fields_of(scope["headers"]),
        query=scope["query_string"].decode("latin-1"),
        peer=client[0] if client else "",
        waited_s=scope.get("waited_s", 0.0),
    )


async def _body(receive: Receive, max_bytes: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= max_bytes:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ConnectionError("the client disconnected")
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body-too-large", f"The body may have at most {max_bytes} bytes.")


async def send_reply(send: Send, reply: Reply) -> None:
    """Send status, headers and body, or the stream's chunks until it ends."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    if reply.stream is None:
        if reply.status not in (204, 304):  # a 304's length would have to be that of the 200
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if reply.body and reply.media_type:
            headers.append((b"content-type", reply.media_type.encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    headers.append((b"content-type", reply.media_type.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    async for chunk in reply.stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
