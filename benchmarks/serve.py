"""``python -m benchmarks.serve FD WHAT``: serves any side on an inherited socket, with the same server."""

import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from pulsecart.processes import registry
from pulsecart.processes.function import run, server
from pulsecart.runtime.settings import read

HERE = Path(__file__).parent


async def hello(listening: socket.socket) -> None:
    """Serve functions-framework's own ASGI application around its own kind of function."""
    from functions_framework.aio import create_asgi_app

    source = str(HERE / "hello" / "main.py")
    application = create_asgi_app(target="hello", source=source, signature_type="http")  # type: ignore[no-untyped-call]
    await server(application).serve(sockets=[listening])


async def raw(listening: socket.socket) -> None:
    """Serve a bare ASGI function: the server's speed when the application does nothing."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"13")]}
    body = {"type": "http.response.body", "body": b"Hello, World!"}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start)
        await send(body)

    await server(application).serve(sockets=[listening])


async def checkout(listening: socket.socket) -> None:
    """Serve ``checkout`` alone, as a cluster runs it: no broker, no edge."""
    await run(registry.load("checkout"), read(os.environ), listening)


async def products(listening: socket.socket) -> None:
    """Serve ``products`` alone, as a cluster runs it."""
    await run(registry.load("products"), read(os.environ), listening)


async def naive(listening: socket.socket) -> None:
    """Serve the naive shop as ``checkout`` is served."""
    from benchmarks.naive import naive

    await run(naive.operation, read(os.environ), listening)


WHAT: dict[str, Callable[[socket.socket], Awaitable[None]]] = {
    "hello": hello,
    "raw": raw,
    "checkout": checkout,
    "naive": naive,
    "products": products,
}


async def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        await WHAT[sys.argv[2]](listening)


if __name__ == "__main__":
    uvloop.run(main())
