"""Opens listening sockets for servers that tests run on asyncio's own event loop."""

import asyncio
import socket
from typing import Any

HERE = ("127.0.0.1", 0)
POLL_S = 0.005


def listen(address: tuple[str, int] = HERE, backlog: int | None = None) -> socket.socket:
    """
    Return ``socket.create_server(address)`` whose connections send without delay.

    asyncio sets TCP_NODELAY only where the socket names its protocol, which create_server's does not; a reply of a
    head and a body then waits 40 ms for an acknowledgment. uvloop, on which the shop runs, sets it on every connection.
    """
    made = socket.create_server(address, backlog=backlog)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return made


class OftenPolling:
    """
    asyncio for ``uvicorn.server``, whose loops sleep 0.1 s before each look at whether the server shall end.

    Ending a server takes two to three looks.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay_s: float) -> None:
        await asyncio.sleep(min(delay_s, POLL_S))
