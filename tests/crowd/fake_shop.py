"""A small shop on a real socket whose every answer is known; it can be configured to answer wrongly."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools


@dataclass
class Faults:
    """Lists the faults that this shop is configured to show."""

    forgets_keys: bool = False  # a repeat is a new order
    oversells_by: int = 0
    keeps_back: int = 0  # units it never sells
    gives_one_order_to_all: bool = False
    forgets_winners: bool = False  # a repeat after the answer gets “sold out”
    busy_every: int = 0  # each nth request is answered 503
    hangs_up_every: int = 0
    breaks_every: int = 0
    ignores_the_limit: bool = False


@dataclass
class FakeShop:
    stock: int = 0
    limit: int = 2
    asynchronous: bool = False
    faults: Faults = field(default_factory=Faults)
    requests: int = 0
    orders: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    busy_at: list[float] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    _bought: Counter[int] = field(default_factory=Counter)

    def answer(self, method: str, path: str, key: str, body: bytes) -> tuple[int, dict[str, Any]] | None:
        """Return status and body; None closes the connection without an answer."""
        match method, path.split("?")[0].split("/")[3:]:
            case "PUT", ["sync", "stock", _, "reset"]:
                self.stock = int(path.partition("stock=")[2])
                return 200, {"productId": 1, "stock": self.stock}
            case "GET", ["sync", "stock", _]:
                return 200, {"productId": 1, "stock": max(0, self.stock)}
            case "GET", ["sales"]:
                return 200, {"sales": [{"productId": 1, "buyerLimit": self.limit}]}
            case "GET", ["async", "queue", "status"]:
                return 200, {"pending": 0, "lag": {"pay": 0}}
            case "GET", ["async", "purchase", order] | ["orders", order]:
                return (200, {"status": self.states[order]}) if order in self.states else (404, {})
            case "POST", [_, "purchase"]:
                return self._purchase(key, json.loads(body)["userId"])
        return 404, {}

    def _purchase(self, key: str, buyer: int) -> tuple[int, dict[str, Any]] | None:
        self.requests += 1
        f = self.faults
        if f.hangs_up_every and self.requests % f.hangs_up_every == 0:
            return None
        if f.busy_every and self.requests % f.busy_every == 0:
            return 503, {"type": "https://pulsecart.dev/problems/busy"}
        if f.breaks_every and self.requests % f.breaks_every == 0:
            return 500, {"type": "about:blank"}
        if key in self.orders and not f.forgets_keys:
            return self._refused("sold-out") if f.forgets_winners else self._sold(self.orders[key])
        return self._decide(key, buyer)

    def _decide(self, key: str, buyer: int) -> tuple[int, dict[str, Any]]:
        if self.asynchronous:
            fits = self.stock > 0 and self._bought[buyer] < self.limit
            return self._sell(key, buyer, "FULFILLED" if fits else "CANCELED")
        if self._bought[buyer] >= self.limit and not self.faults.ignores_the_limit:
            return self._refused("limit-reached")
        if self.stock <= self.faults.keeps_back - self.faults.oversells_by:
            return self._refused("sold-out")
        return self._sell(key, buyer, "PAID")

    def _sell(self, key: str, buyer: int, state: str) -> tuple[int, dict[str, Any]]:
        order = "the-order" if self.faults.gives_one_order_to_all else f"order-{len(self.states)}"
        self.orders[key] = order
        self.states[order] = state
        if state != "CANCELED":
            self.stock -= 1
            self._bought[buyer] += 1
        return self._sold(order)

    def _sold(self, order: str) -> tuple[int, dict[str, Any]]:
        return (202, {"trackingId": order, "orderId": order}) if self.asynchronous else (200, {"orderId": order})

    def _refused(self, why: str) -> tuple[int, dict[str, Any]]:
        return 409, {"type": f"https://pulsecart.dev/problems/{why}"}


class Connection(asyncio.Protocol):
    def __init__(self, shop: FakeShop) -> None:
        self.shop = shop
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def on_message_begin(self) -> None:
        self.url, self.key, self.body = b"", "", b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"idempotency-key":
            self.key = value.decode()
        elif name.lower() == b"host":
            self.shop.hosts.add(value.decode())

    def on_body(self, body: bytes) -> None:
        self.body += body

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        # A real shop needs a moment: only then can a second click overtake, or a buyer hang up before the answer.
        asyncio.get_running_loop().call_later(0.002, self._reply, self.parser.get_method().decode())

    def _reply(self, method: str) -> None:
        reported = self.shop.answer(method, self.url.decode(), self.key, self.body)
        if reported is None:
            self.transport.abort()
            return
        status, members = reported
        body = json.dumps(members).encode()
        retry = b"retry-after: 0\r\n" if status == 503 else b""
        self.transport.write(b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, retry, len(body), body))


@asynccontextmanager
async def open_shop(shop: FakeShop) -> AsyncIterator[str]:
    """Serve the shop and yield its address."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(shop), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
