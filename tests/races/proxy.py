"""Forwards connections, and cuts them at a chosen command: before the server gets it, or before its answer."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

Cut = Literal["before", "after"]


class Proxy:
    """
    Args:
        behind: the server's Unix socket.
        url: for those who come through here.
    """

    def __init__(self, behind: Path, url: str) -> None:
        self.behind = behind
        self.url = url
        self.cuts = 0
        self.refuses = False
        self._word = self._answered = b""
        self._cut: Cut | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def of_postgresql(cls, url: str, place: Path) -> AsyncIterator[Self]:
        """Start a proxy for the PostgreSQL behind its Unix socket."""
        parts = parse_qs(urlsplit(url).query)
        host, port = parts["host"][0], parts.get("port", ["5432"])[0]
        with tempfile.TemporaryDirectory(prefix="cut-") as short:  # a socket's path has 107 bytes at most
            name = f".s.PGSQL.{port}"
            through = url.replace(quote(host, safe=""), quote(short, safe="")).replace(host, short)
            proxy = cls(Path(host) / name, through)
            async with proxy.listening(Path(short) / name):
                yield proxy

    @classmethod
    @asynccontextmanager
    async def of_redis(cls, url: str, place: Path) -> AsyncIterator[Self]:
        """Start a proxy for the Redis behind its Unix socket."""
        with tempfile.TemporaryDirectory(prefix="cut-") as short:
            socket = Path(short) / "redis.sock"
            proxy = cls(Path(unquote(urlsplit(url).path)), f"unix://{socket}?db=0")
            async with proxy.listening(socket):
                yield proxy

    @asynccontextmanager
    async def listening(self, socket: Path) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, socket)
        async with server:
            yield
            self.hang_up()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, word: bytes, when: Cut, answered: bytes = b"") -> None:
        """
        Close the connection at the next ``word`` of a client: before the server gets it, or after its answer, which
        contains ``answered`` and does not reach the client.
        """
        self._word, self._cut, self._answered = word, when, answered

    def hang_up(self) -> None:
        """End every connection."""
        for line in self._lines:
            line.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self.behind)
        self._lines |= {writer, server_writer}
        mute = asyncio.Event()
        ask = asyncio.create_task(self._ask(reader, server_writer, mute))
        answer = asyncio.create_task(self._answer(server_reader, writer, mute))
        self._tasks |= {ask, answer}
        await asyncio.wait({ask, answer}, return_when=asyncio.FIRST_COMPLETED)
        for line in (writer, server_writer):
            self._lines.discard(line)
            line.close()

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        while data := await _read(reader):
            if self._cut and self._word in data:
                when, self._cut = self._cut, None
                self.cuts += 1
                if when == "before":
                    return
                mute.set()
            server.write(data)

    async def _answer(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        unread = b""
        while data := await _read(server):
            if not mute.is_set():
                writer.write(data)
                continue
            unread += data
            if self._answered in unread:
                return


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""
