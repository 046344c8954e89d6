"""Limits the time that a connection may keep the server waiting; the limits are short here."""

import asyncio
import socket
from time import monotonic
from typing import Any

import pytest

from pulsecart.serving.server.bounds import Bounds
from tests.edge.conftest import eventually
from tests.serving.raw import HOST, WAIT_S, Echo, answers_in, echoing, next_answer

LIMIT_S = 0.2
SHORT = Bounds(
    silent_timeout_s=LIMIT_S,
    head_timeout_s=LIMIT_S,
    body_timeout_s=LIMIT_S,
    write_timeout_s=LIMIT_S,
    keep_alive_s=LIMIT_S,
    progress_bytes_per_s=1000,
)
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST


async def slowly(writer: asyncio.StreamWriter, parts: Any, every_s: float) -> None:
    for part in parts:
        writer.write(part)
        await asyncio.sleep(every_s)


async def ended(echo: Echo, sent: bytes) -> list[Any]:
    """Return the answers received until the server closed."""
    reader, writer = await echo.connect()
    writer.write(sent)
    async with asyncio.timeout(WAIT_S):
        came = await reader.read()
    writer.close()
    return answers_in(came)


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with echoing(SHORT) as echo:
        began = monotonic()
        assert await ended(echo, b"") == []
        assert monotonic() - began >= LIMIT_S
        assert len(echo.guard) == 0


@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\n", GET[:-2], b"\r\n", GET[:-2] + b"X: " + b"a" * 9_000])
async def test_half_a_head_is_408(half: bytes) -> None:
    async with echoing(SHORT) as echo:
        (answer,) = await ended(echo, half)
        assert (answer.status, answer.problem, answer.headers["connection"]) == (408, "head-too-slow", "close")


async def test_a_head_that_comes_byte_by_byte_has_no_more_time() -> None:
    async with echoing(SHORT) as echo:
        reader, writer = await echo.connect()
        sending = asyncio.create_task(slowly(writer, [GET[:-2], *[b"X: y\r\n"] * 1000], 0.02))
        assert (await next_answer(reader)).problem == "head-too-slow"
        sending.cancel()
        writer.close()


@pytest.mark.parametrize(
    "half",
    [
        POST + b"Content-Length: 10\r\n\r\nabc",
        POST + b"Content-Length: 10\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y",
    ],
)
async def test_half_a_body_is_408_and_its_handler_knows_that_the_client_is_gone(half: bytes) -> None:
    async with echoing(SHORT) as echo:
        (answer,) = await ended(echo, half)
        assert (answer.status, answer.problem) == (408, "body-too-slow")
        await eventually(lambda: echo.left == 1)
        assert echo.seen == []


async def test_a_body_that_trickles_is_408_and_one_that_is_slow_but_comes_is_read() -> None:
    async with echoing(SHORT) as echo:
        head = POST + b"Content-Length: 2000\r\n\r\n"
        reader, writer = await echo.connect()
        trickle = asyncio.create_task(slowly(writer, [head, *[b"a"] * 2000], 0.01))
        assert (await next_answer(reader)).problem == "body-too-slow"
        trickle.cancel()
        writer.close()
        reader, writer = await echo.connect()
        steady = asyncio.create_task(slowly(writer, [head, *[b"a" * 100] * 20], 3 * LIMIT_S / 20))
        answer = await next_answer(reader)
        assert (answer.status, answer.echo["headers"]["content-length"]) == (200, "2000")
        await steady
        writer.close()


async def test_an_idle_connection_is_closed_between_two_requests_and_blank_lines_keep_it_no_longer() -> None:
    async with echoing(SHORT) as echo:
        assert [answer.status for answer in await ended(echo, GET + GET)] == [200, 200]
        reader, writer = await echo.connect()
        blank = asyncio.create_task(slowly(writer, [GET, *[b"\r\n"] * 1000], 0.02))
        assert [(await next_answer(reader)).status for _ in range(2)] == [200, 408]
        blank.cancel()
        writer.close()


async def test_a_body_that_no_one_waits_for_is_not_read_for_ever() -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with echoing(SHORT, early) as echo:
        reader, writer = await echo.connect()
        body = asyncio.create_task(slowly(writer, [POST + b"Content-Length: 99999\r\n\r\n", *[b"a" * 100] * 900], 0.02))
        async with asyncio.timeout(WAIT_S):
            assert [answer.status for answer in answers_in(await reader.read())] == [403]
        body.cancel()
        writer.close()


async def test_what_is_answered_late_or_streams_on_is_not_cut_off() -> None:
    async def held(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(4 * LIMIT_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"12")]})
        for _ in range(4):
            await send({"type": "http.response.body", "body": b"abc", "more_body": True})
            await asyncio.sleep(2 * LIMIT_S)
        await send({"type": "http.response.body"})

    async with echoing(SHORT, held) as echo:
        reader, writer = await echo.connect()
        writer.write(GET)
        assert (await next_answer(reader)).body == b"abc" * 4
        writer.close()


async def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    ended_at: list[float] = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % 10**9)]})
        try:
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"a" * 10**6, "more_body": True})
        finally:
            ended_at.append(monotonic())

    async with echoing(SHORT, large) as echo:
        with socket.create_connection(("127.0.0.1", echo.port)) as unreading:
            unreading.sendall(GET)
            await eventually(lambda: len(echo.guard) == 1)
            await eventually(lambda: len(echo.guard) == 0)
            await eventually(lambda: bool(ended_at))


@pytest.mark.parametrize("asked", [GET, GET.replace(b"1.1", b"1.0")], ids=["kept open", "closed after it"])
async def test_a_client_that_reads_slowly_gets_all_of_its_answer(asked: bytes) -> None:
    size = 3_000_000

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"a" * size})

    async with echoing(SHORT, large) as echo:
        reader, writer = await echo.connect(limit=4096)
        writer.write(asked)
        await reader.readuntil(b"\r\n\r\n")
        came = 0
        while came < size:
            async with asyncio.timeout(WAIT_S):
                came += len(await reader.read(size // 20))
            await asyncio.sleep(4 * LIMIT_S / 400)
        assert came == size
        writer.close()


async def test_nothing_is_looked_at_while_no_one_is_connected() -> None:
    async with echoing(SHORT) as echo:
        assert (await echo.answer(GET)).status == 200
        await eventually(lambda: echo.guard._timer is None)
        assert (await echo.answer(GET)).status == 200
