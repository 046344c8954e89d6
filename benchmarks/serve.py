"""``python -m benchmarks.serve FD APP``: one worker of uvicorn on an inherited socket, the same way for every side."""

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

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


APPS = {"hello": hello, "raw": raw}


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    options = {"loop": "uvloop", "http": "httptools", "ws": "none", "access_log": False, "log_level": "warning"}
    config = uvicorn.Config(APPS[sys.argv[2]](), lifespan="off", backlog=4096, **options)  # type: ignore[arg-type]
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
