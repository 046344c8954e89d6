"""
Receivers of webhooks that behave well, badly or maliciously: raw sockets on this machine, each with what it received.

``async with receiving(hangs()) as receiver: …`` starts one; a behaviour is given each request and writes raw bytes.
"""

import asyncio
import gzip
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext

from tests.listening import listen

PACE_S = 0.02  # between two bytes of a trickle
PART = 65_536
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Got:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[Got, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """
    Args:
        connections: accepted so far.
        open: connections that are open now.
    """

    behaviour: Behaviour
    address: str = "127.0.0.1"
    scheme: str = "http"
    port: int = 0
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()

    def url(self, host: str = "", path: str = "/hook") -> str:
        return f"{self.scheme}://{host or self.address}:{self.port}{path}"

    async def until(self, condition: Callable[["Receiver"], bool], timeout_s: float = 20.0) -> None:
        """Returns when the condition holds."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._count(1)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                while not writer.is_closing():
                    self.got.append(await _request(reader))
                    await self._notify()
                    await self.behaviour(self.got[-1], reader, writer)
                    await writer.drain()
            finally:
                writer.close()
                await self._count(-1)

    async def _count(self, change: int) -> None:
        self.connections += change > 0
        self.open += change
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def receiving(
    behaviour: Behaviour, *, tls: SSLContext | None = None, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    """A receiver on a free port; its connections end with it."""
    receiver = Receiver(behaviour, address, "https" if tls else "http")
    serving: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(receiver.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(connected, sock=listen((address, port)), ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, _ = head.split("\r\n", 1)[0].split(" ")
    headers = {name.lower(): value for name, value in re.findall(r"^([^:\r\n]+): ?([^\r\n]*)\r$", head, re.MULTILINE)}
    return Got(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def answers(status: int = 200, headers: Headers = (), body: bytes = b"") -> Behaviour:
    """Answers properly; the connection stays."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return raw(f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each request gets the next one, the last one stays."""
    left = list(behaviours)

    async def behave(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(got, reader, writer)

    return behave


def raw(said: bytes, *, then_close: bool = False) -> Behaviour:
    """Writes these bytes, whatever they are."""

    async def behave(_got: Got, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if then_close:
            writer.close()

    return behave


def hangs(before: bytes = b"") -> Behaviour:
    """Writes nothing (more) until the sender gives up."""

    async def behave(_got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        await reader.read()
        writer.close()

    return behave


def trickles(said: bytes, pace_s: float = PACE_S) -> Behaviour:
    """Writes one byte after the other, and then nothing more."""

    async def behave(_got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.ensure_future(reader.read())
        for at in range(len(said)):
            writer.write(said[at : at + 1])
            await asyncio.wait((ended,), timeout=pace_s)
            if ended.done():
                break
        await ended
        writer.close()

    return behave


def trickles_head(pace_s: float = PACE_S) -> Behaviour:
    return trickles(b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 10_000, pace_s)


def trickles_body(pace_s: float = PACE_S) -> Behaviour:
    return trickles(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n" + b"a" * 10_000, pace_s)


def resets() -> Behaviour:
    """Ends the connection with RST."""

    async def behave(_got: Got, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def closes(before: bytes = b"") -> Behaviour:
    """Ends the connection in order, before the answer or in it."""
    return raw(before, then_close=True)


def redirects(to: str, status: int = 307) -> Behaviour:
    return answers(status, [("location", to)])


def endless(before: bytes, part: bytes) -> Behaviour:
    """Writes ``before``, and then ``part`` as often as the sender takes it."""

    async def behave(_got: Got, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        block = part * max(1, PART // len(part))
        while not writer.is_closing():
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(0)

    return behave


def endless_body() -> Behaviour:
    chunk = b"%x\r\n%s\r\n" % (PART, b"a" * PART)
    return endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk)


def tiny_chunks() -> Behaviour:
    """A body of chunks of one byte, without end."""
    return endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n")


def long_chunk_extension() -> Behaviour:
    """A chunk's size line without end."""
    return endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"a" * PART)


def endless_trailers() -> Behaviour:
    return endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"x-t: 1\r\n")


def huge_body(size: int = 50_000_000) -> Behaviour:
    """Promises so many bytes, and sends them."""
    return endless(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size, b"a" * PART)


def gzip_bomb(size: int = 50_000_000) -> Behaviour:
    """A body of some kilobytes that would be so many bytes decompressed."""
    return answers(200, [("content-encoding", "gzip")], gzip.compress(bytes(size)))


def long_header(name: bytes = b"x-long") -> Behaviour:
    """One header line without end."""
    return endless(b"HTTP/1.1 200 OK\r\n" + name + b": ", b"a" * PART)


def many_headers() -> Behaviour:
    return endless(b"HTTP/1.1 200 OK\r\n", b"x-one: 1\r\n")


def interim_storm(headers: bytes = b"") -> Behaviour:
    """Interim answers without end."""
    return endless(b"", b"HTTP/1.1 100 Continue\r\n" + headers + b"\r\n")
