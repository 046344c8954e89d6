"""functions-framework's own server has the same limits as ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pulsecart.runtime.settings import Settings
from tests.client import Client
from tests.serving.framework import Served
from tests.serving.raw import HOST, WAIT_S, Answer, answers_in

GET = b"GET /api/v1/sync/stock/1 HTTP/1.1\r\n"


@pytest.fixture
async def stock(settings: Settings, client: Client, tmp_path: Path) -> AsyncIterator[Served]:
    environ = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ACCEPT_UNSIGNED_BUYERS": "true",
        "HEAD_TIMEOUT_S": "0.4",
        "SILENT_TIMEOUT_S": "0.4",
        "KEEP_ALIVE_S": "0.4",
        "MAX_BODY_BYTES": "1000",
    }
    process = Served("stock", environ, tmp_path / "said")
    try:
        await process.ready()
        yield process
    finally:
        await process.stop()


async def ended(served: Served, sent: bytes) -> list[Answer]:
    """Return the answers received until the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    async with asyncio.timeout(WAIT_S):
        came = await reader.read()
    writer.close()
    return answers_in(came)


async def test_it_bounds_heads_and_bodies_and_reads_headers_as_the_shop_does(stock: Served) -> None:
    assert await ended(stock, b"") == []
    refused = {
        GET: (408, "head-too-slow"),
        GET + HOST + b"Cookie: " + b"c" * 40_000 + b"\r\n\r\n": (431, "head-too-large"),
        GET + b"\r\n": (400, "host-missing"),
        GET + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n": (400, "header-repeated"),
        GET + b"Host: a/b?\r\n\r\n": (400, "host-malformed"),
    }
    for sent, wanted in refused.items():
        (answer,) = await ended(stock, sent)
        assert (answer.status, answer.problem) == wanted
    (shown,) = await ended(stock, GET + HOST + b"\r\n")
    assert (shown.status, shown.echo["stock"]) == (200, 1000)
    reset = b"PUT /api/v1/sync/stock/1/reset?stock=5 HTTP/1.1\r\n" + HOST
    (large,) = await ended(stock, reset + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001)
    assert (large.status, large.problem) == (413, "body-too-large")
    trailers = b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer evil\r\n\r\n"
    (done,) = await ended(stock, reset + trailers)
    assert done.status == 200, "the trailer is no token: the demo asks for none"
    (elsewhere,) = await ended(stock, b"GET /x%0A/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert (elsewhere.status, "location" in elsewhere.headers) == (404, False)
    assert "Traceback" not in stock.said
