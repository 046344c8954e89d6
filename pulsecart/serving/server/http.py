"""
Extends uvicorn's HTTP/1.1 protocol (httptools) by checks before a handler is called: the size of head and body, and
header fields by RFC 9110 and 9112. Module ``paced`` holds the time limits.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsecart.runtime.problem import Malformed, Problem
from pulsecart.serving.server.bounds import HEAD_MAX_BYTES, PIPELINE_MAX
from pulsecart.serving.server.head import Upgrade, check_head, too_long, upgrade_of
from pulsecart.serving.server.paced import BODY, HEAD, NOTHING, REFUSED, WHOLE, PacedProtocol
from pulsecart.serving.server.start_limit import StartLimit

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

FRAMING = 16  # maximum bytes of chunk sizes and line ends per body byte


class RejectedRequest(Exception):
    """Stops the parser after a rejected head."""


class _Rest:
    """Receives the callbacks of a parser that reads only a body."""

    def __init__(self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]) -> None:
        self.on_body = on_body
        self.on_message_complete = on_message_complete


class HttpProtocol(PacedProtocol):
    """
    Feeds received bytes to the parser and handles its callbacks.

    Args:
        turns: this process's limit of new requests per event loop iteration.
    """

    def __init__(self, *args: Any, turns: StartLimit, **given: Any) -> None:
        super().__init__(*args, **given)
        self._turns = turns

    def data_received(self, data: bytes) -> None:
        reading = self._reading
        if reading == NOTHING:
            self._reading, self._since = HEAD, self.guard.now
        elif reading == REFUSED:
            return
        size = len(data)
        if size < self._room:
            self._room -= size
            self._feed(data)
        else:
            self._feed_in_parts(data)

    def _feed_in_parts(self, data: bytes) -> None:
        """Feed at most the rest of the head's limit at once: an oversized head is read, but not parsed."""
        rest = memoryview(data)
        while rest and self._reading != REFUSED:
            if self._reading == BODY:
                self._room = HEAD_MAX_BYTES
            part, rest = rest[: self._room], rest[self._room :]
            self._room -= len(part)
            self._feed(part)
            if not self._room and self._reading in (HEAD, WHOLE):  # WHOLE: the bytes are the next request's head
                self._refuse(too_long(self.url))

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._websocket:
                self._reading = REFUSED  # this protocol reads no more; clients wait for the handshake's reply
                self.handle_websocket_upgrade()
            else:
                self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self._reading != REFUSED:
                self._refuse(Malformed("request-malformed", f"This is not valid HTTP/1.1: {_reason(error)}."))
        else:
            if self._reading == BODY:
                self._measure(len(data))

    def _ignore_upgrade(self, rest: bytes | memoryview) -> None:
        """
        Answer the request as if it had no Upgrade header (Java's client requests h2c with every first request).

        The parser treats the bytes that follow as the other protocol's: another one reads the body, then reading stops.
        """
        self.cycle.keep_alive = False
        if not self._body_follows:
            self._reading = REFUSED
            return
        framing = dict(self.scope["headers"])
        length = framing.get(b"content-length")
        body_header = b"content-length: " + length if length else b"transfer-encoding: chunked"
        self._body_follows = False
        self.parser = httptools.HttpRequestParser(_Rest(self.on_body, self.on_message_complete))
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + body_header + b"\r\n\r\n")
        self._feed(rest)

    def _measure(self, size: int) -> None:
        """Reject a body with excessive chunk extensions or trailers."""
        self._body_raw += size
        if self._body_raw - self._body_bytes > 2 * HEAD_MAX_BYTES + FRAMING * self._body_bytes:
            self._refuse(too_long(b""))

    def on_headers_complete(self) -> None:
        self._check_head()
        self._reading = BODY
        self._since = self.guard.now
        self._body_bytes = self._body_raw = self._body_seen = 0
        HttpToolsProtocol.on_headers_complete(self)
        self.headers = []  # the scope holds them; later fields are trailers, which are dropped

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        if self._body_follows:
            return
        HttpToolsProtocol.on_message_complete(self)
        self._room = HEAD_MAX_BYTES
        if self.cycle is not None and self.cycle.response_complete:
            self._reading, self._since = NOTHING, self.guard.now
        else:
            self._reading = WHOLE

    def on_response_complete(self) -> None:
        """Do the same as uvicorn's method, without a timer per reply."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = self.guard.now
        self._body_seen = self._body_bytes
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._part(self._refusal)
        elif self._reading == WHOLE:
            self._reading = NOTHING

    def _check_head(self) -> None:
        """
        Validate the head and admit the request.

        Raises:
            RejectedRequest: the head is invalid, or the connection was rejected; the client gets a reply.
        """
        if self._fresh:
            self._fresh = False
            self.guard.spoke(self)
        if self._refusal is not None:  # the guard rejected this connection
            self._part(self._refusal)
            raise RejectedRequest
        parser = self.parser
        try:
            self.url = check_head(self.url, self.headers, parser, self.guard.hosts)
            if self.expect_100_continue:
                self.expect_100_continue = parser.get_http_version() == "1.1"  # RFC 9110 §10.1.1
            if parser.should_upgrade():
                answering = self.cycle is not None and not self.cycle.response_complete
                upgrade = upgrade_of(self.headers, parser.get_method(), answering=answering)
                self._websocket = upgrade is Upgrade.WEBSOCKET
                self._body_follows = upgrade is Upgrade.IGNORED_WITH_BODY
            if len(self.pipeline) >= PIPELINE_MAX:
                raise Malformed("pipeline-too-long", f"Send {PIPELINE_MAX} requests at most before you read an answer.")
        except Problem as problem:
            self._refuse(problem)
            raise RejectedRequest from None

    def _start_asgi_task(self, cycle: "RequestResponseCycle", app: Any) -> None:
        if self._turns.take(self.loop):
            super()._start_asgi_task(cycle, app)
        else:
            self._turns.wait(partial(self._start_later, cycle, app, self.loop.time()))

    def _start_later(self, cycle: "RequestResponseCycle", app: Any, came_at: float) -> None:
        if not cycle.disconnected:  # else the client left, or the request was rejected
            cycle.scope["waited_s"] = self.loop.time() - came_at  # type: ignore[typeddict-unknown-key]  # for Request-Timeout
            super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return self._websocket

    def handle_websocket_upgrade(self) -> None:
        if self._turns.take(self.loop):
            self._upgrade()
        else:
            self._turns.wait(self._upgrade)

    def _upgrade(self) -> None:
        from pulsecart.serving.server.websocket import WebSocketProtocol

        if self.transport.is_closing():
            return
        self.guard.left(self)
        self.ws_protocol_class = partial(WebSocketProtocol, guard=self.guard, address=self.address)  # type: ignore[assignment]
        super().handle_websocket_upgrade()


def _reason(error: Exception) -> str:
    return str(error)[:120] or "it cannot be parsed"
