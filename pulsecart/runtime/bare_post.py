"""Sends a POST without a body, using modules already loaded: an HTTP client would double an operation's start time."""

import asyncio
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

CONNECT_S = 10.0
READ = 65_536


async def post_without_body(url: str, wait_s: float) -> int:
    """
    Send a POST to ``url`` on a new connection.

    Args:
        wait_s: time limit for the reply, counted from the established connection.

    Returns:
        The reply's status.

    Raises:
        TimeoutError: the request was sent, and no reply arrived in time.
        OSError: the request may not have arrived.
    """
    target = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.hostname, target.port or 80)
    except TimeoutError:
        raise ConnectionError(f"no connection to {target.netloc} in {CONNECT_S:.0f} s") from None
    try:
        request = f"POST {target.path or '/'} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        writer.write(f"{request}Content-Length: 0\r\nConnection: close\r\n\r\n".encode("ascii"))
        async with asyncio.timeout(wait_s):
            return await _status(reader)
    finally:
        writer.close()


class _Head:
    """Receives the callbacks of httptools."""

    whole = False

    def on_headers_complete(self) -> None:
        self.whole = True


async def _status(reader: asyncio.StreamReader) -> int:
    head = _Head()
    parser = HttpResponseParser(head)
    while not head.whole:
        data = await reader.read(READ)
        if not data:
            raise ConnectionError("the connection ended without an answer")
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            raise ConnectionError(f"the answer is not HTTP: {error}") from None
    return int(parser.get_status_code())
