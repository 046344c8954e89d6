"""
Defines a broker under test. The suite describes Knative's default broker; it runs against the local one, and against
a cluster by another implementation of this protocol.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import uvicorn
import yaml

from pulsecart.broker.local import LocalBroker
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import Settings
from pulsecart.serving.asgi import request_of, send_reply
from pulsecart.serving.http import Request
from tests.listening import listen

BROKER, SINK = "default", "dead-letters"
Manifest = dict[str, Any]


class BrokerUnderTest(Protocol):
    """
    ``host``: the address on which its subscribers must listen; ``namespace``: that of its objects; ``flavour``: its
    name in ``differences``.
    """

    host: str
    namespace: str
    flavour: str

    def named(self, name: str) -> str:
        """Return the object's actual name for ``name`` in a manifest."""

    async def apply(self, manifests: Sequence[Manifest]) -> None:
        """Apply the manifests and wait until all of them are active."""

    async def send(self, headers: dict[str, str], body: bytes, *, to: str = BROKER) -> int:
        """POST to the ingress of a Broker; return the status."""

    async def address(self, to: str = BROKER) -> str:
        """Return the URL of a Broker's ingress, for senders in other processes."""

    async def stop(self) -> None:
        """Delete the applied objects."""


class EmbeddedBroker:
    """Runs the broker of ``pulsecart/broker``."""

    host = "127.0.0.1"
    namespace = "default"
    flavour = "local"

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._deps = open_deps(settings)
        self._directory = directory
        self._running: LocalBroker | None = None
        self._serving: asyncio.Task[None] | None = None

    def named(self, name: str) -> str:
        return name

    async def apply(self, manifests: Sequence[Manifest]) -> None:
        self._directory.mkdir(exist_ok=True)
        (self._directory / "all.yaml").write_text(yaml.safe_dump_all(manifests), "utf-8")
        self._running = LocalBroker({}, self._directory, self._deps, validate=lambda event: None)
        await self._running.start()
        await self._running.ready()

    async def send(self, headers: dict[str, str], body: bytes, *, to: str = BROKER) -> int:
        assert self._running is not None
        request = Request("POST", f"/broker/default/{to}", headers, body)
        return (await self._running.ingress(request, "default", to)).status

    async def address(self, to: str = BROKER) -> str:
        if self._serving is None:
            self._socket = listen((self.host, 0))
            config = uvicorn.Config(self._app, interface="asgi3", http="httptools", lifespan="off", log_config=None)
            self._server = uvicorn.Server(config)
            self._server.capture_signals = nullcontext  # type: ignore[assignment, method-assign]  # Ctrl-C is pytest's
            self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return f"http://{self.host}:{self._socket.getsockname()[1]}/broker/default/{to}"

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        assert self._running is not None
        request = await request_of(scope, receive, 2**20)
        await send_reply(send, await self._running.ingress(request, "default", request.path.rpartition("/")[2]))

    async def stop(self) -> None:
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._socket.close()
        if self._running is not None:
            await self._running.stop()
        await close_deps(self._deps)
