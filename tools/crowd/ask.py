"""Sends single requests before and after the sale: reset and read the stock, read the queue and orders."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tools.crowd.wire import Answer, Connection, Lines

ANSWER_WITHIN_S = 30.0


class NotThere(Exception):
    """The shop at the address cannot be used; the message has the address and what to do."""


def address(url: str) -> tuple[str, int]:
    """
    Raises:
        NotThere: not an http address.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise NotThere(f"{url!r} is not an http:// URL; this program supports plain HTTP only")
    return parts.hostname, parts.port or 80


class _Purchases:
    """Sends the requests in order and stores each answer at its request's index."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.answers: list[Answer | None] = [None] * len(requests)
        self._requests = requests
        self._left = iter(range(len(requests)))
        self._open = len(requests)
        self.done = asyncio.Event()

    def free(self, line: Connection[int]) -> None:
        if (i := next(self._left, None)) is not None:
            line.send(i, self._requests[i])

    def answered(self, line: Connection[int], purchase: int, answer: Answer) -> None:
        self.answers[purchase] = answer
        self._count()

    def lost(self, line: Connection[int], purchase: int | None, reason: str) -> None:
        if purchase is not None:
            self._count()

    def _count(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set()


async def ask_all(
    url: str, requests: Sequence[tuple[str, str]], connections: int = 8, named: str = ""
) -> list[tuple[int, Any]]:
    """
    Return (status, decoded JSON or None) for each (method, path); (0, None) without an answer in time.

    Args:
        named: the Host header, if it is not the URL's.

    Raises:
        NotThere: no server listens at the address.
    """
    host, port = address(url)
    if not requests:
        return []
    head = f" HTTP/1.1\r\nHost: {named or f'{host}:{port}'}\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n"
    purchases = _Purchases([f"{method} {path}{head}".encode() for method, path in requests])
    lines = Lines(host, port, min(connections, len(requests)), purchases)
    try:
        await lines.open()
        await asyncio.wait_for(purchases.done.wait(), ANSWER_WITHIN_S)
    except OSError as error:
        if not isinstance(error, TimeoutError):
            raise NotThere(f"no shop answers at {url} ({error}); start one with scripts/up, or give --url") from error
    finally:
        lines.close()
    return [(answer.status, _json(answer.body)) if answer else (0, None) for answer in purchases.answers]


async def ask(url: str, method: str, path: str, named: str = "") -> tuple[int, Any]:
    """Send one request, as ``ask_all`` does."""
    return (await ask_all(url, [(method, path)], named=named))[0]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
