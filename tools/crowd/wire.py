"""Sends requests and reads answers on the crowd's keep-alive connections, one at a time; httptools parses HTTP."""

import asyncio
import json
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar, cast

import httptools

from pulsecart.runtime.backoff import Backoff

REOPEN = Backoff(0.02, 1.0)
T = TypeVar("T")


class Caller(Protocol[T]):
    """Assigns the purchases of type T to connections, called lines."""

    def free(self, line: "Connection[T]") -> None:
        """The line is connected and has no purchase."""

    def answered(self, line: "Connection[T]", purchase: T, answer: "Answer") -> None:
        """The whole answer to the purchase has arrived; the line is free again unless the answer closed it."""

    def lost(self, line: "Connection[T]", purchase: T | None, reason: str) -> None:
        """The connection is lost, and with it the answer to its purchase."""


class Answer:
    """
    Args:
        sent_at: monotonic seconds when the request was written.
        took_s: seconds from the request to the answer's last byte.
        head: the raw bytes of the answer; only ``header()`` parses them.
    """

    __slots__ = ("body", "head", "sent_at", "status", "took_s")

    def __init__(self, status: int, body: bytes, head: bytes, sent_at: float, took_s: float) -> None:
        self.status = status
        self.body = body
        self.head = head
        self.sent_at = sent_at
        self.took_s = took_s

    def header(self, name: str) -> str | None:
        """Return the header's value; ``name`` is in lower case."""
        found: dict[str, str] = {}

        class Reader:
            def on_header(self, key: bytes, value: bytes) -> None:
                found[key.decode("latin-1").lower()] = value.decode("latin-1")

        httptools.HttpResponseParser(Reader()).feed_data(self.head)
        return found.get(name)


class Connection(asyncio.Protocol, Generic[T]):
    """Sends one purchase at a time, without header callbacks: eight headers would double the cost of parsing."""

    __slots__ = ("_body", "_caller", "_close_reason", "_parser", "_raw", "_sent_at", "_transport", "purchase")

    def __init__(self, caller: Caller[T]) -> None:
        self._caller = caller
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._body = b""
        self._raw = b""
        self._sent_at = 0.0
        self._close_reason = "closed by the server"
        self.purchase: T | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._caller.free(self)

    def send(self, purchase: T, request: bytes) -> None:
        """Send ``purchase``; the line must be free."""
        if self._transport is None or self.purchase is not None:
            raise RuntimeError("the connection is in use")
        self.purchase = purchase
        self._body = self._raw = b""
        self._sent_at = monotonic()
        self._transport.write(request)

    def waiting_since(self) -> float | None:
        """Return the monotonic seconds at which the in-flight purchase was sent; None while free."""
        return None if self.purchase is None else self._sent_at

    def hang_up(self, reason: str) -> None:
        """Close now; an in-flight purchase is lost with ``reason``."""
        self._close_reason = reason
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._raw = self._raw + data if self._raw else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.hang_up("the answer is not HTTP")

    def on_body(self, chunk: bytes) -> None:
        self._body = self._body + chunk if self._body else chunk

    def on_message_complete(self) -> None:
        purchase = self.purchase
        if purchase is None:
            self.hang_up("answer without a request")
            return
        self.purchase = None
        answer = Answer(
            self._parser.get_status_code(), self._body, self._raw, self._sent_at, monotonic() - self._sent_at
        )
        keep = self._parser.should_keep_alive()
        self._caller.answered(self, purchase, answer)
        if keep:
            self._caller.free(self)
        else:
            self.hang_up("closed by the server")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        purchase, self.purchase = self.purchase, None
        self._caller.lost(self, purchase, self._close_reason if exc is None else "connection lost")


class Lines(Generic[T]):
    """Keeps ``count`` lines to one address open; reopens a lost line with a growing delay."""

    def __init__(self, host: str, port: int, count: int, caller: Caller[T]) -> None:
        self._address = (host, port)
        self._caller = caller
        self._count = count
        self._open: set[Connection[T]] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._closing = False
        self.reopened = 0

    async def open(self, at_once: int = 64) -> None:
        """
        Raises:
            OSError: a connection was refused: no server listens.
        """
        for start in range(0, self._count, at_once):
            await asyncio.gather(*(self._connect() for _ in range(min(at_once, self._count - start))))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Connection(self._caller), *self._address)
        self._open.add(line)

    def replace(self, line: Connection[T]) -> None:
        """Replace a lost line; the caller's reaction to ``lost``."""
        self._open.discard(line)
        if not self._closing:
            self.reopened += 1
            job = asyncio.get_running_loop().create_task(self._reopen())
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _reopen(self) -> None:
        failures = 0
        while not self._closing:
            await asyncio.sleep(REOPEN.after(failures))
            try:
                await self._connect()
            except OSError:
                failures += 1
            else:
                break

    def hang_up_older_than(self, limit_s: float) -> None:
        """Time out late answers: one pass over all lines instead of a timer per request."""
        oldest = monotonic() - limit_s
        for line in list(self._open):
            since = line.waiting_since()
            if since is not None and since < oldest:
                line.hang_up("timed out")

    def close(self) -> None:
        self._closing = True
        for job in list(self._jobs):
            job.cancel()
        for line in list(self._open):
            line.hang_up("done")


def purchase_maker(host: str, path: str, product: str, quantity: int) -> Callable[[int, bytes], bytes]:
    """
    Return a function (userId of ten digits, Idempotency-Key) -> the bytes of a purchase request.

    Args:
        product: a decimal id is sent as a JSON number, as in the seed API's examples; any other as a string.
    """
    body = (
        f'{{"productId":{product if product.isdecimal() else json.dumps(product)},"quantity":{quantity},"userId":%d}}'
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body % 10**9)}\r\nIdempotency-Key: "
    )
    head_bytes, body_bytes = head.encode(), b"\r\n\r\n" + body.encode()
    return lambda user, key: head_bytes + key + body_bytes % user
