"""An edge on a real server and port, its PostgreSQL and Redis, and a client that reads streams as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from functions.edge.main import edge_app
from functions.notify.main import notify
from pulsecart.edge.streams.hub import Hub
from pulsecart.processes.function import server as serving_as_the_host_does
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import Cause, CloudEvent, Message, enveloped
from pulsecart.runtime.settings import Settings
from pulsecart.serving.server.bounds import Bounds, bounds_of
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated, OrderPaid
from tests.listening import listen

BUYER = "12345"


@dataclass
class Event:
    """One event of a stream, or a comment (``event`` is empty)."""

    event: str
    id: str | None = None
    data: Any = None
    retry: int | None = None


@dataclass
class Stream:
    """An open ``text/event-stream``; ``last_id`` as an EventSource keeps it."""

    response: httpx.Response
    last_id: str | None = None
    _rest: str = ""
    _chunks: AsyncIterator[str] | None = None
    _parsed: list[Event] = field(default_factory=list)

    async def next(self, *, comments: bool = False, timeout_s: float = 5.0) -> Event:
        """Return the next event; raise StopAsyncIteration at the stream's end and TimeoutError if none comes."""
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self._next()
                if event.event or comments:
                    return event

    async def until_end(self) -> list[Event]:
        events = []
        while True:
            try:
                events.append(await self.next())
            except StopAsyncIteration:
                return events

    async def _next(self) -> Event:
        self._chunks = self._chunks or self.response.aiter_text()
        while "\n\n" not in self._rest:
            self._rest += await anext(self._chunks)
        block, _, self._rest = self._rest.partition("\n\n")
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        self.last_id = fields.get("id", self.last_id)
        data = json.loads(fields["data"]) if "data" in fields else None
        return Event(fields.get("event", ""), fields.get("id"), data, int(fields.get("retry", 0)) or None)


@dataclass
class Edge:
    """A running edge; ``client`` keeps cookies."""

    deps: Deps
    url: str
    client: httpx.AsyncClient

    @property
    def hub(self) -> Hub:
        return self.deps.singleton(Hub)

    @asynccontextmanager
    async def stream(self, path: str, last_id: str | None = None, **headers: str) -> AsyncIterator[Stream]:
        sent = {"accept": "text/event-stream", **headers}
        if last_id is not None:
            sent["last-event-id"] = last_id
        async with self.client.stream("GET", path, headers=sent) as response:
            yield Stream(response, last_id)

    async def sign_in(self, buyer_id: str = BUYER) -> None:
        assert (await self.client.post("/api/v1/session", json={"userId": buyer_id})).status_code == 204

    async def execute(self, sql: str, params: Any = ()) -> None:
        async with self.deps.db.transaction() as tx:
            await tx.execute(sql, params)

    async def add_product(self, product_id: str = "1", available: int = 1000, version: int = 0) -> None:
        await self.execute(
            "INSERT INTO products (product_id, sku, name, price_minor) VALUES (%(id)s, %(id)s, 'Headphones', 4990)",
            {"id": product_id},
        )
        await self.execute(
            "INSERT INTO stock (product_id, available, version, buyer_limit) VALUES (%s, %s, %s, 2)",
            (product_id, available, version),
        )

    async def add_order(self, status: str = "PENDING", version: int = 1, buyer_id: str = BUYER) -> str:
        order_id = str(uuid4())
        await self.execute(
            """
            INSERT INTO orders (order_id, buyer_id, status, total_minor, currency, path, version, created_at,
                                updated_at)
            VALUES (%s, %s, %s, 4990, 'USD', 'async', %s, now(), now())
            """,
            (UUID(order_id), buyer_id, status, version),
        )
        return order_id

    async def set_stock(self, available: int, version: int) -> None:
        await self.execute("UPDATE stock SET available = %s, version = %s", (available, version))

    async def publish(self, event: CloudEvent) -> None:
        reply = await notify.operation.handle_event(event, self.deps)
        assert reply.status == 204, reply.body

    async def publish_stock(self, available: int, sequence: int, product_id: str = "1") -> None:
        message = StockAdjusted(productId=product_id, delta=-1, available=available, reason="RESERVED")
        await self.publish(envelope(message, product_id, sequence))

    async def publish_order(self, order_id: str, status: str, sequence: int, buyer_id: str = BUYER) -> None:
        await self.publish(envelope(order_message(order_id, status, buyer_id), order_id, sequence))


def order_message(order_id: str, status: str, buyer_id: str = BUYER) -> Message:
    money: dict[str, Any] = {"orderId": order_id, "userId": buyer_id, "totalAmount": 49.9, "currency": "USD"}
    match status:
        case "PENDING":
            return OrderCreated(**money, items=[], status="PENDING", path="async")
        case "CONFIRMED":
            return OrderConfirmed(**money, payBy="2026-01-01T00:00:30.000000Z")
        case _:
            return OrderPaid(**money, paymentId="00000000-0000-4000-8000-0000000000aa")


def envelope(message: Message, key: str, sequence: int) -> CloudEvent:
    from datetime import UTC, datetime

    return enveloped(
        message, source="/pulsecart/test", key=key, sequence=sequence, time=datetime(2026, 1, 1, tzinfo=UTC),
        cause=Cause(), extensions={},
    )  # fmt: skip


async def eventually(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 5.0) -> None:
    """Wait until the condition holds; fail the test if it does not."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served(
    app: Any, ending: Sequence[Callable[[], Awaitable[None]]] = (), bounds: Bounds | None = None
) -> AsyncIterator[str]:
    """Serve the edge on its own server and port; yield its URL."""
    with listen() as listening:
        server = serving_as_the_host_does(app, ending, bounds=bounds)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Edge]:
    deps = open_deps(settings)
    async with served(edge_app(deps), deps.before_shutdown, bounds_of(settings)) as url:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=10, limits=limits, trust_env=False) as client:
            yield Edge(deps, url, client)
    await close_deps(deps)


@pytest.fixture
def edge_settings(settings: Settings) -> Settings:
    return replace(settings, accept_unsigned_buyers=True)


@pytest_asyncio.fixture
async def edge(edge_settings: Settings) -> AsyncIterator[Edge]:
    async with running(edge_settings) as edge:
        yield edge
