"""Provides cheap EventSources: a socket and a callback each."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from tools.crowd.ask import address

OnEvent = Callable[[str, Mapping[str, Any]], None]


class EventSource(asyncio.Protocol):
    """
    Args:
        on_event: gets (event, data) of each event; None: they are only counted, by their first field.
    """

    def __init__(self, request: bytes, on_event: OnEvent | None) -> None:
        self.events = 0
        self._request = request
        self._on_event = on_event
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._on_event is None:
            self.events += data.count(b"\nevent: ")
            return
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            _, found, rest = block.partition(b"\nevent: ")
            event, _, data = rest.partition(b"\ndata: ")
            if found:
                self.events += 1
                self._on_event(event.decode(), json.loads(data))

    def close(self) -> None:
        if self._transport:
            self._transport.close()


async def listen(url: str, path: str, on_event: OnEvent | None = None, cookie: str = "") -> EventSource:
    """Open a stream."""
    host, port = address(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\nCookie: {cookie}\r\n\r\n"
    loop = asyncio.get_running_loop()
    _, source = await loop.create_connection(lambda: EventSource(request.encode(), on_event), host, port)
    return source


async def send(url: str, method: str, path: str, body: Any = None) -> tuple[int, bytes, Any]:
    """Return (status, head, decoded JSON) of one request; a client library would cost ten times as much."""
    host, port = address(url)
    raw = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head.encode() + raw)
    answer = await reader.read()
    writer.close()
    payload, _, document = answer.partition(b"\r\n\r\n")
    return int(payload[9:12]), payload, json.loads(document) if document else None


def age_ms(at: str) -> float:
    """Return the milliseconds since a time that a process of this machine wrote, RFC 3339."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() * 1000


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max, ms."""
    ranked = sorted(values)
    at = {name: ranked[min(len(ranked) - 1, int(len(ranked) * share))] for name, share in SHARES.items()}
    return {"count": len(ranked), **{name: round(value, 1) for name, value in at.items()}}


SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
