"""Closes HTTP and WebSocket connections whose client does not read; shared by both protocols."""

import asyncio

from pulsecart.serving.server.guard import CLOSE_S, Guard


class Connection:
    """Adds the guard's checks to a uvicorn protocol; a mixin that precedes it in the bases."""

    transport: asyncio.Transport
    guard: Guard
    address: str
    _closing_since: float | None = None
    _full_since: float | None = None
    _unsent = 0

    def end(self, reason: str) -> None:
        """Close immediately, without a reply; ``reason`` is counted unless empty."""
        if reason:
            self.guard.count(reason)
        self.transport.abort()

    def _over(self, now: float, full: bool) -> bool:
        """
        Check a closing connection and a slow reader; return whether the connection needs no other check.

        A closing connection still sends its buffered data while its client reads.

        Args:
            full: the send buffer exceeds its high-water mark.
        """
        if self.transport.is_closing():
            if self._closing_since is None:
                self._closing_since, self._full_since = now, None
            if self.transport.get_write_buffer_size():
                self._unread(now)
            elif now - self._closing_since > CLOSE_S:
                self.transport.abort()
            return True
        if not full:
            self._full_since = None
            return False
        return self._unread(now)

    def _unread(self, now: float) -> bool:
        """End the connection if its client reads too slowly, measured over each ``write_timeout_s``; return whether."""
        unsent, bounds = self.transport.get_write_buffer_size(), self.guard.bounds
        if self._full_since is None:
            self._full_since, self._unsent = now, unsent
        elif (waited := now - self._full_since) > bounds.write_timeout_s:
            if self._unsent - unsent < waited * bounds.progress_bytes_per_s:
                self.end("reader-too-slow")
                return True
            self._full_since, self._unsent = now, unsent
        return False


def address_of(transport: asyncio.BaseTransport) -> str:
    """Return the client's address without its port; empty for a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple | list) and peer else ""
