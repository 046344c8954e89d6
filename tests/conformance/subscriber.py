"""A subscriber for a broker: a real HTTP server that records requests and gives the configured answers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import uvicorn

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from tests.listening import listen

PROBE = "dev.pulsecart.probe.v1"  # events of this type belong to no test: the broker's ingress probes for subscribers
Answer = int | tuple[int, dict[str, str], bytes]


class Got(NamedTuple):
    """One request; ``at`` in seconds of the loop's clock."""

    path: str
    headers: dict[str, str]
    event: CloudEvent
    at: float


class Subscriber:
    """
    Args:
        host: how a broker reaches this machine.

    ``answers`` are given one request each, then ``answer`` to all others; ``hold`` delays every answer until it is set.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.got: list[Got] = []
        self.answers: list[Answer] = []
        self.answer: Answer = 204
        self.choose: Callable[[Got], Answer | None] = lambda got: None
        self.hold: asyncio.Event | None = None
        self.probed = asyncio.Event()
        self._changed = asyncio.Condition()

    def url(self, name: str) -> str:
        """Return the URL for the Trigger ``name``."""
        return f"http://{self.host}:{self._port}/{name}"

    def of(self, name: str) -> list[Got]:
        """Return the requests received for this Trigger."""
        return [got for got in self.got if got.path == f"/{name}"]

    async def until(self, condition: Callable[[Sequence[Got]], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self.got))

    async def __aenter__(self) -> Self:
        self._socket = listen((self.host, 0), backlog=1024)
        self._port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", log_level="error", access_log=False, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _nothing  # type: ignore[method-assign]  # the tests' Ctrl-C is pytest's
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:  # noqa: ASYNC110  # uvicorn sends no notification
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        if self.hold is not None:
            self.hold.set()
        await self._task
        self._socket.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        event = cloudevents.decode(headers, body)
        if event.type == PROBE:
            self.probed.set()
            await _reply(send, 204)
            return
        got = Got(scope["path"], headers, event, asyncio.get_running_loop().time())
        async with self._changed:
            self.got.append(got)
            self._changed.notify_all()
        if self.hold is not None:
            await self.hold.wait()
        await _reply(send, self.answers.pop(0) if self.answers else self.choose(got) or self.answer)


async def _reply(send: Any, answer: Answer) -> None:
    status, more, body = (answer, {}, b"") if isinstance(answer, int) else answer
    encoded = [(name.encode(), value.encode()) for name, value in more.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
