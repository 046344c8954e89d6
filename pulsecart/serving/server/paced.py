"""Enforces the time limits of HTTP connections, and rejects requests with a last reply."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsecart.runtime.problem import Problem
from pulsecart.serving.server.bounds import HEAD_MAX_BYTES
from pulsecart.serving.server.connection import Connection, address_of
from pulsecart.serving.server.guard import PRESSED_KEEP_ALIVE_S, Guard
from pulsecart.serving.server.refused import TooSlow, answer_of

LINGER_S = 2.0  # drain what a rejected client still sends: otherwise its system might discard our reply

# Reading states: where the client's next byte belongs. Plain numbers, as an Enum member costs a tenth of a microsecond.
NOTHING = 0  # it starts the next request
HEAD = 1
BODY = 2
WHOLE = 3  # the request is complete, its reply is not
REFUSED = 4  # reading has ended


class PacedProtocol(Connection, HttpToolsProtocol):
    """
    Extends uvicorn's protocol by time limits that the guard checks in each tick: requests need no timers.

    Args:
        guard: this process's guard.
    """

    def __init__(self, *args: Any, guard: Guard, **given: Any) -> None:
        super().__init__(*args, **given)
        self.guard = guard
        self.address = ""
        self._reading = NOTHING
        self._since = 0.0
        self._room = HEAD_MAX_BYTES  # bytes left of the head's limit
        self._fresh = True  # no head has been complete yet
        self._websocket = self._body_follows = False
        self._body_bytes = self._body_raw = self._body_seen = 0
        self._refusal: Problem | None = None  # sent after the earlier replies

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # a socket transport
        self.address = address_of(transport)
        self._refusal = self.guard.admit(self)  # sent once the head is complete
        self._since = self.guard.now

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.left(self)
        super().connection_lost(exc)

    def _refuse(self, problem: Problem) -> None:
        """Reply ``problem`` to the request being read, after the replies to earlier ones, and close."""
        self.guard.count(problem.type)
        of_this, self._reading = self._reading == BODY, REFUSED
        cycle = self.cycle
        if of_this and cycle.response_started:  # a second reply would be read as the next request's
            if cycle.response_complete:
                self._part(None)
            else:
                self.transport.close()
            return
        if of_this:
            cycle.disconnected = True
            cycle.message_event.set()
        if of_this and self.pipeline:
            self.pipeline.popleft()
            self._refusal = problem
        elif of_this or cycle is None or cycle.response_complete:
            self._part(problem)
        else:
            self._refusal = problem

    def _part(self, problem: Problem | None) -> None:
        """Send the last reply, unless None, and close the sending side."""
        if self.transport.is_closing():
            return
        self._reading, self._since, self._refusal = REFUSED, self.guard.now, None
        self.flow.resume_reading()
        if problem is not None:
            self.transport.write(answer_of(problem, dict(self.headers or ()), self.server_state.default_headers))
        self.transport.write_eof()

    def check(self, now: float) -> None:
        if self._over(now, self.flow.write_paused):
            return
        reading, waited, bounds = self._reading, now - self._since, self.guard.bounds
        if reading == WHOLE:
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if reading == REFUSED or self._refusal is not None:
            if not answering and waited > LINGER_S:
                self.transport.close()
        elif reading == BODY:
            if self.flow.read_paused or self.pipeline:
                self._since, self._body_seen = now, self._body_bytes
            elif waited > bounds.body_timeout_s:
                self._check_progress(now, waited)
        elif answering:
            self._since = now
        elif reading == HEAD:
            if waited > bounds.head_timeout_s:
                self._refuse(
                    TooSlow(
                        "head-too-slow",
                        f"The request line and headers did not arrive within {bounds.head_timeout_s:g} s.",
                    )
                )
        elif waited > (bounds.silent_timeout_s if self._fresh else self._keep_alive_s()):
            self.guard.count("silent" if self._fresh else "keep-alive")
            self.transport.close()

    def _keep_alive_s(self) -> float:
        kept_s = self.guard.bounds.keep_alive_s
        return min(kept_s, PRESSED_KEEP_ALIVE_S) if self.guard.pressed else kept_s

    def _check_progress(self, now: float, waited: float) -> None:
        came = self._body_bytes - self._body_seen
        if self.cycle.response_complete or came < waited * self.guard.bounds.progress_bytes_per_s:
            self._refuse(
                TooSlow("body-too-slow", "The body arrived too slowly. Send it again over a faster connection.")
            )
        else:
            self._since, self._body_seen = now, self._body_bytes
