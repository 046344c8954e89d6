"""``python -m benchmarks.serve FD APP``: one worker of uvicorn on an inherited socket, the same way for every side."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from runtime.deps import Deps, open_deps
from runtime.http import Request
from runtime.serve import Operation
from runtime.settings import read

HERE = Path(__file__).parent


def hello() -> Any:
    """functions-framework's own ASGI application around its own kind of function."""
    from functions_framework.aio import create_asgi_app

    source = str(HERE / "hello" / "main.py")
    return create_asgi_app(target="hello", source=source, signature_type="http")  # type: ignore[no-untyped-call]


def raw() -> Any:
    """A bare ASGI function: what the server can do when the application does nothing."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"13")]}
    body = {"type": "http.response.body", "body": b"Hello, World!"}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start)
        await send(body)

    return application


def alone(operation: Operation) -> Any:
    """One operation and nothing else: no broker, no edge."""
    made: list[Deps] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if not made:
            made.append(open_deps(read(os.environ)))
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reply = await operation.answer(Request(scope["method"], scope["path"], headers, body), made[0])
        head = [(b"content-type", reply.media_type.encode()), (b"content-length", b"%d" % len(reply.body))]
        head += [(name.encode(), value.encode()) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": head})
        await send({"type": "http.response.body", "body": reply.body})

    return application


def checkout() -> Any:
    from functions.checkout.main import checkout

    return alone(checkout.operation)


def naive() -> Any:
    from benchmarks.naive import naive

    return alone(naive.operation)


APPS = {"hello": hello, "raw": raw, "checkout": checkout, "naive": naive}


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    options = {"loop": "uvloop", "http": "httptools", "ws": "none", "access_log": False, "log_level": "warning"}
    config = uvicorn.Config(APPS[sys.argv[2]](), lifespan="off", backlog=4096, **options)  # type: ignore[arg-type]
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
