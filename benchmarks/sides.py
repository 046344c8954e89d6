"""The sides of a comparison: a running server, and the request that it is asked."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from secrets import randbelow

import psycopg

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from tools.crowd.ask import NotThere, address, ask
from tools.crowd.wire import purchase_maker

READY_WITHIN_S = 30.0
POOL_MAX = 16
PLENTY = 100_000_000


async def nothing() -> None:
    """What most sides do before and after a turn."""


@dataclass(slots=True)
class Side:
    """
    Args:
        expected: the status of every answer.
        request: bytes of the next request; buyers and keys are new each time.
        before, after: what a turn needs that is not measured: stock, or a log that has been read to its end.
    """

    name: str
    url: str
    expected: int
    request: Callable[[], bytes]
    processes: Mapping[str, list[int]]
    before: Callable[[], Awaitable[None]] = field(default=nothing)
    after: Callable[[], Awaitable[None]] = field(default=nothing)


def purchases(url: str, product: str = "1", path: str = "/api/v1/sync/purchase") -> Callable[[], bytes]:
    """Purchases of one unit, each by a new buyer under a new key."""
    host, port = address(url)
    made = purchase_maker(f"{host}:{port}", path, product, 1)
    base, next_one = 10**9 + randbelow(4 * 10**9), count()

    def request() -> bytes:
        n = next(next_one)
        return made(base + n, b"bench-%d-%d" % (base, n))

    return request


@asynccontextmanager
async def process(app: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[tuple[str, int]]:
    """(address, pid) of one worker that serves ``app`` of ``benchmarks.serve``."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        fd = listening.fileno()
        command = [sys.executable, "-m", "benchmarks.serve", str(fd), app]
        child = subprocess.Popen(command, pass_fds=[fd], env={**os.environ, **(environ or {})})  # noqa: ASYNC220 - once
        try:
            await _answering(url, child)
            yield url, child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


async def _answering(url: str, child: "subprocess.Popen[bytes]") -> None:
    for _ in range(int(READY_WITHIN_S / 0.1)):
        if child.poll() is not None:
            break
        try:
            if (await asyncio.wait_for(ask(url, "GET", "/"), 5))[0]:
                return
        except (NotThere, TimeoutError):
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{' '.join(map(str, child.args))} does not answer at {url}")  # type: ignore[arg-type]


@asynccontextmanager
async def hello() -> AsyncIterator[Side]:
    """functions-framework's hello-world, sent the same bytes as the shop."""
    async with process("hello") as (url, pid):
        yield Side("hello", url, 200, purchases(url), {"server": [pid]})


def product_request(url: str, etag: str = "") -> Callable[[], bytes]:
    """The same product again and again; with ``etag`` as by who has it already."""
    host, port = address(url)
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    request = f"GET /api/v1/products/1 HTTP/1.1\r\nHost: {host}:{port}\r\n{condition}\r\n".encode()
    return lambda: request


@asynccontextmanager
async def hello_asked_for_a_product() -> AsyncIterator[Side]:
    """functions-framework's hello-world, sent the bytes that ``reading`` is sent."""
    async with process("hello") as (url, pid):
        yield Side("hello", url, 200, product_request(url), {"server": [pid]})


def reading(etag: str = "") -> Callable[[], AbstractAsyncContextManager[Side]]:
    """``products`` alone over servers of its own, with the demo's goods: product 1, which is on sale."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Side]:
        async with servers() as stack:
            await load_catalogue(stack.database_url, GOODS, SALE, datetime.now(UTC))
            environ = {"DATABASE_URL": stack.database_url, "REDIS_URL": stack.redis_url, "POOL_MAX": "2"}
            async with process("products", environ) as (url, pid):
                what, status = ("304", 304) if etag else ("200", 200)
                groups = {"server": [pid], **pids(stack)}
                yield Side(f"GET product, {what}", url, status, product_request(url, etag), groups)

    return opened


@asynccontextmanager
async def raw() -> AsyncIterator[Side]:
    async with process("raw") as (url, pid):
        yield Side("raw ASGI", url, 200, purchases(url), {"server": [pid]})


@asynccontextmanager
async def servers() -> AsyncIterator[Stack]:
    """PostgreSQL and Valkey of this side alone, with the shop's schema, durable as in every shop."""
    with tempfile.TemporaryDirectory(prefix="pulsecart-bench-") as data, Stack(Path(data)) as stack:
        migrate(stack.database_url)
        yield stack


def pids(stack: Stack) -> dict[str, list[int]]:
    """The groups of processes whose CPU is counted beside the server's."""
    groups = {"postgres": stack.postgres, "valkey": stack.valkey}
    return {name: [server.process.pid] for name, server in groups.items() if server and server.process}


def selling(app: str, *, stock: int) -> Callable[[], AbstractAsyncContextManager[Side]]:
    """``app`` alone over servers of its own: ``stock`` 0 makes it answer "sold out", plenty makes every buyer win."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Side]:
        async with servers() as stack:
            stocked(stack.database_url, stock)
            environ = {
                "DATABASE_URL": stack.database_url,
                "REDIS_URL": stack.redis_url,
                "ACCEPT_UNSIGNED_BUYERS": "true",
                "SESSION_SECRET": "of this benchmark alone, 32 bytes or more",
                "WEBHOOK_KEYS": "b2YgdGhpcyBiZW5jaG1hcmsgYWxvbmUuLi4uLi4uLi4=",
                "POOL_MAX": str(POOL_MAX),
            }
            async with process(app, environ) as (url, pid):
                what, status = ("sold out", 409) if stock == 0 else ("winning", 200)
                groups = {"server": [pid], **pids(stack)}
                yield Side(f"{app}, {what}", url, status, purchases(url), groups)

    return opened


def stocked(database_url: str, units: int) -> None:
    """Product 1 in an open sale, two units at most for each buyer, as in the demo."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('1', 'S-1', 'One', 12900)"
        )
        connection.execute("INSERT INTO stock (product_id, available, buyer_limit) VALUES ('1', %s, 2)", (units,))
        connection.execute(
            "INSERT INTO inventory_adjustment (product_id, delta, reason) VALUES ('1', %s, 'INITIAL')", (units,)
        )
        connection.execute(
            "INSERT INTO flash_sales (sale_id, product_id, price_minor, starts_at, ends_at, status)"
            " VALUES ('sale-1', '1', 4990, now() - interval '1 hour', now() + interval '1 day', 'STARTED')"
        )
