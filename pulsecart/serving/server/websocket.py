"""Limits the queues of uvicorn's WebSocket protocol in both directions; imported at the first WebSocket."""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from pulsecart.serving.server.connection import Connection
from pulsecart.serving.server.guard import Guard

QUEUED_MAX = 128  # messages that the application has not received yet
FRAGMENTS_MAX = 1_024  # per message
POLICY, TOO_BIG = 1008, 1009


class WebSocketProtocol(Connection, WebSocketsSansIOProtocol):
    """
    Stops reading while its client does not read: otherwise unread pongs would accumulate without limit.

    Only warnings are logged: at INFO, uvicorn logs client addresses and whole queries, tickets included.

    Args:
        guard: this process's guard.
        address: the client's address.
    """

    def __init__(self, *args: Any, guard: Guard, address: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.guard = guard
        self.address = address
        self.logger = self.conn.logger = _warnings()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.guard.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.left(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.writable.is_set():  # uvicorn's ``receive`` has resumed it
            self.transport.pause_reading()
        return message

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._fail(TOO_BIG, "too many fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() >= QUEUED_MAX and not self.close_sent:
            self._fail(POLICY, "too many messages at once")
        else:
            super().send_receive_event_to_app()

    def check(self, now: float) -> None:
        self._over(now, not self.writable.is_set())

    def _fail(self, code: int, why: str) -> None:
        self.frames = []
        if self.close_sent:
            return
        self.guard.count(f"websocket-{code}")
        self.conn.fail(code, why)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()


def _warnings() -> logging.Logger:
    logger = logging.getLogger("uvicorn.error.websocket")
    logger.setLevel(logging.WARNING)
    return logger
