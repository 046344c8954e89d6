"""Provides an echo on our server, and clients that send raw bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pulsecart.processes.function import Server, server
from pulsecart.runtime.problem import Problem
from pulsecart.serving.asgi import request_of, send_reply
from pulsecart.serving.http import Reply
from pulsecart.serving.replies import reply_of
from pulsecart.serving.server.bounds import Bounds
from pulsecart.serving.server.guard import Guard
from tests.edge.conftest import eventually
from tests.listening import listen

HOST = b"Host: shop.test\r\n"
WAIT_S = 10.0


@dataclass
class Echo:
    """Holds a running server; ``seen`` are the requests that reached its handler, ``left`` counts clients that left."""

    port: int
    server: Server
    seen: list[Any]
    left: int = 0

    @property
    def guard(self) -> Guard:
        protocol: Any = self.server.config.http_protocol_class
        guard: Guard = protocol.keywords["guard"]
        return guard

    async def connect(self, **given: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, **given)

    async def answers(self, sent: bytes, *, rest: bytes = b"") -> list["Answer"]:
        """Send, and return all answers until the server closes, as it must."""
        reader, writer = await self.connect()
        writer.write(sent + rest)
        async with asyncio.timeout(WAIT_S):
            came = await reader.read()
        writer.close()
        return answers_in(came)

    async def answer(self, sent: bytes) -> "Answer":
        """Send, and return the first answer, whether or not the connection stays open."""
        reader, writer = await self.connect()
        writer.write(sent)
        found = await next_answer(reader)
        writer.close()
        return found


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        return str(json.loads(self.body)["type"]).rpartition("/")[2]

    @property
    def echo(self) -> Any:
        return json.loads(self.body)


async def next_answer(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(WAIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        found = _head(head)
        body = await reader.readexactly(int(found.headers.get("content-length", 0)))
    return Answer(found.status, found.headers, body)


def answers_in(came: bytes) -> list[Answer]:
    found = []
    while came:
        head, _, came = came.partition(b"\r\n\r\n")
        answer = _head(head)
        length = int(answer.headers.get("content-length", 0))
        answer.body, came = came[:length], came[length:]
        found.append(answer)
    return found


def _head(head: bytes) -> Answer:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, b"")


@asynccontextmanager
async def echoing(bounds: Bounds | None = None, handler: Callable[..., Any] | None = None) -> AsyncIterator[Echo]:
    """
    Args:
        handler: an ASGI application in the place of the echo.
    """

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        try:
            request = await request_of(scope, receive, 1 << 20)
        except Problem as problem:
            await send_reply(send, reply_of(problem))
            return
        except ConnectionError:
            running.left += 1
            return
        output = {"path": request.path, "headers": request.headers, "body": request.body.decode("latin-1")[:64]}
        running.seen.append(output)
        await send_reply(send, Reply(body=json.dumps(output).encode()))

    with listen(backlog=256) as listening:
        serving = server(handler or echo, bounds=bounds or Bounds())
        running = Echo(listening.getsockname()[1], serving, [])
        task = asyncio.create_task(serving.serve(sockets=[listening]))
        await eventually(lambda: serving.started)
        try:
            yield running
        finally:
            serving.should_exit = True
            await task
