"""
Bounds how many requests one turn of the event loop begins.

A turn looks at every socket once. An order needs some 25 turns from its request to its answer; where a turn answers
everybody who asked since the last one, each of them takes as long as thousands of other answers.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from runtime.asgi import App, Receive, Scope, Send

REQUESTS_PER_TURN = 32


class Turns:
    """
    An ASGI application that begins at most ``size`` requests per turn; the others wait in the order in which they came.

    Args:
        size: fewer make smaller batches at the gate and leave more of the loop to events; more let winners wait.
    """

    def __init__(self, app: App, size: int = REQUESTS_PER_TURN) -> None:
        self._app = app
        self._size = self._left = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counting = False
        self._loop: asyncio.AbstractEventLoop | None = None  # asked for once: each asking is a system call

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next_turn)
        if self._left:
            self._left -= 1
            return self._app(scope, receive, send)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        return self._later(turn, loop.time(), scope, receive, send)

    async def _later(
        self, turn: "asyncio.Future[None]", came_at: float, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await turn
        scope["waited_s"] = asyncio.get_running_loop().time() - came_at  # part of its caller's Request-Timeout
        await self._app(scope, receive, send)

    def _next_turn(self) -> None:
        waiting, left = self._waiting, self._size
        while waiting and left:
            turn = waiting.popleft()
            if not turn.done():  # cancelled: the server stops
                turn.set_result(None)
                left -= 1
        self._left = left
        self._counting = left < self._size
        if self._counting:
            asyncio.get_running_loop().call_soon(self._next_turn)
