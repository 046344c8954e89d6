"""Limits apply to open streams and sockets, and to waiting data, per caller and per address."""

import asyncio
import json
import socket as sockets
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pulsecart.edge.streams.places import Places
from pulsecart.runtime.settings import Settings
from pulsecart.serving.server.websocket import FRAGMENTS_MAX
from tests.edge.conftest import BUYER, Edge, eventually, running
from tests.edge.test_ws import next_message, say, socket

FROM = "x-forwarded-for"


@pytest_asyncio.fixture
async def small(edge_settings: Settings) -> AsyncIterator[Edge]:
    settings = replace(edge_settings, streams_per_caller=2, streams_per_address=3, write_timeout_s=0.3)
    async with running(settings) as edge:
        await edge.add_product()
        yield edge


async def test_one_address_has_so_many_streams_and_is_asked_to_come_again(small: Edge) -> None:
    async with AsyncExitStack() as opened:
        streams = [
            await opened.enter_async_context(small.stream("/sse/stock/1", **{FROM: "198.51.100.1"})) for _ in range(3)
        ]
        assert [(await stream.next()).event for stream in streams] == ["snapshot"] * 3
        async with small.stream("/sse/flash-sales", **{FROM: "198.51.100.1"}) as refused:
            assert (refused.response.status_code, refused.response.headers["content-type"]) == (
                200, "text/event-stream"
            )  # fmt: skip
            with pytest.raises(StopAsyncIteration):
                await refused.next()
        async with small.stream("/sse/stock/1", **{FROM: "198.51.100.2"}) as other:
            assert (await other.next()).event == "snapshot"
    await eventually(lambda: not small.deps.singleton(Places)._held)
    async with small.stream("/sse/stock/1", **{FROM: "198.51.100.1"}) as again:
        assert (await again.next()).event == "snapshot"


async def test_one_caller_has_so_many_streams_from_wherever_they_come(small: Edge) -> None:
    await small.sign_in()
    order_id = await small.add_order()
    async with AsyncExitStack() as opened:
        path = f"/sse/orders/{order_id}"
        streams = [
            await opened.enter_async_context(small.stream(path, **{FROM: f"198.51.100.{number}"})) for number in (1, 2)
        ]
        assert [(await stream.next()).event for stream in streams] == ["snapshot"] * 2
        async with small.stream(f"/sse/orders/{order_id}", **{FROM: "198.51.100.9"}) as refused:
            with pytest.raises(StopAsyncIteration):
                await refused.next()
        async with socket(small) as one_more:
            with pytest.raises(ConnectionClosed) as closed:
                await one_more.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
    await eventually(lambda: not small.deps.singleton(Places)._held)


async def test_a_stream_that_could_not_begin_takes_no_one_s_place(small: Edge) -> None:
    await small.sign_in("somebody-else")
    order_id = await small.add_order(buyer_id=BUYER)
    for path in (f"/sse/orders/{order_id}", "/sse/stock/none", "/sse/nothing"):
        for _ in range(4):
            async with small.stream(path) as refused:
                assert (await refused.next()).event == "problem"
    assert (await small.client.head("/sse/stock/1")).status_code == 200
    await eventually(lambda: not small.deps.singleton(Places)._held)


async def raw_socket(edge: Edge) -> tuple[sockets.socket, Any]:
    return await asyncio.to_thread(_raw_socket, edge)


def _raw_socket(edge: Edge) -> tuple[sockets.socket, Any]:
    """Open a signed-in WebSocket that is not read; return a function that sends a frame on it."""
    cookies = "; ".join(f"{name}={value}" for name, value in edge.client.cookies.items())
    at = urlsplit(edge.url)
    raw = sockets.create_connection((at.hostname, at.port))
    raw.sendall(
        f"GET /ws/orders HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Cookie: {cookies}\r\n\r\n".encode()
    )

    assert raw.recv(4096, sockets.MSG_PEEK).startswith(b"HTTP/1.1 101")

    def frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
        head = struct.pack("!BB", (0x80 if fin else 0) | opcode, 0x80 | len(payload))
        return head + b"\0\0\0\0" + payload

    return raw, frame


async def test_pings_whose_pongs_no_one_reads_are_not_read_either(small: Edge) -> None:
    await small.sign_in()
    raw, frame = await raw_socket(small)
    with raw:
        raw.settimeout(0)
        pings, sent = frame(9, b"p" * 125) * 1000, 0
        places = small.deps.singleton(Places)
        await eventually(lambda: places._all == 1)
        async with asyncio.timeout(20):
            while places._all:  # until the server gives up on who never reads
                try:
                    sent += raw.send(pings)
                except BlockingIOError:
                    await asyncio.sleep(0.005)
                except OSError:
                    break
                else:
                    await asyncio.sleep(0)
        assert sent < 64_000_000, "the system's own buffers, and ours"


async def test_a_socket_that_sends_more_at_once_than_anyone_says_is_closed(small: Edge) -> None:
    await small.sign_in()
    for flood, code in (("messages", 1008), ("fragments", 1009)):
        raw, frame = await raw_socket(small)
        with raw:
            if flood == "messages":
                raw.sendall(frame(1, b"{}") * 5_000)
            else:
                raw.sendall(frame(1, b"{", fin=False) + frame(0, b"", fin=False) * (FRAGMENTS_MAX + 10))
            came = await asyncio.to_thread(_until_closed, raw)
        assert struct.pack("!H", code) in came


def _until_closed(raw: sockets.socket) -> bytes:
    raw.settimeout(10)
    came = b""
    try:
        while data := raw.recv(65536):
            came += data
    except ConnectionError:
        pass
    return came


async def test_a_socket_that_is_used_as_it_should_stays(small: Edge) -> None:
    await small.sign_in()
    order_id = await small.add_order()
    async with socket(small) as opened:
        for _ in range(40):
            await say(opened, type="ping")
        assert {(await next_message(opened))["event"] for _ in range(40)} == {"pong"}
        await (await opened.ping())
        await say(opened, orderId=order_id)
        assert (await next_message(opened))["event"] == "subscribed"


async def test_a_websocket_s_headers_are_read_as_any_other_s(small: Edge) -> None:
    await small.sign_in()
    (cookie,) = [f"{name}={value}" for name, value in small.client.cookies.items()]
    url = small.url.replace("http:", "ws:") + "/ws/orders"
    split = [("Cookie", "theme=dark"), ("Cookie", cookie)]
    async with connect(url, additional_headers=split, proxy=None) as opened:
        await opened.send(json.dumps({"type": "ping"}))
        assert json.loads(await opened.recv())["event"] == "pong"


async def test_a_path_with_a_slash_too_many_is_not_sent_to_the_host_that_a_request_names(small: Edge) -> None:
    for path in ("/sse/stock/1/", "/ws/orders/", "/sse", "/cart/", "//evil.test/sse/", "/x%0A/"):
        reply = await small.client.get(path, headers={"host": "evil.test", "accept": "text/event-stream"})
        assert "location" not in reply.headers, path
