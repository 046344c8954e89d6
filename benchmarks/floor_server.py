"""Serves one fixed answer to every request, at the least cost: it shows the cost of the load generator itself."""

import asyncio
import socket
import sys

import uvloop

BODY = b'{"type":"https://pulsecart.dev/problems/sold-out","title":"Rejected","status":409,"detail":"Sold out."}'
ANSWER = (
    b"HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
    b"correlation-id: 01999999-9999-7999-8999-999999999999\r\n\r\n%b" % (len(BODY), BODY)
)


class Trivial(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)  # type: ignore[attr-defined]  # a socket's transport writes


async def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    server = await asyncio.get_running_loop().create_server(Trivial, sock=listener, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
