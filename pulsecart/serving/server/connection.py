"""What an HTTP and a WebSocket connection have in common: how they end when their client does not read."""

import asyncio

from pulsecart.serving.server.guard import CLOSE_S, Guard


class Connection:
    """Mixed into uvicorn's protocols, before them."""

    transport: asyncio.Transport
    guard: Guard
    address: str
    _closing_since: float | None = None
    _full_since: float | None = None
    _unsent = 0

    def end(self, reason: str) -> None:
        """Close at once, without an answer; ``reason`` is counted, where there is one."""
        if reason:
            self.guard.count(reason)
        self.transport.abort()

    def _over(self, now: float, full: bool) -> bool:
        """
        Whether nothing else need be looked at: it is closing, and sends what it still has while its client reads.

        Args:
            full: more waits to be sent than the socket takes.
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
        """Its client is to read at a pace, measured over each ``write_timeout_s``."""
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
    """The other end's address without its port; empty for a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple | list) and peer else ""
