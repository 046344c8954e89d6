"""Runs one operation as a process, as on a cluster: ``python -m pulsecart.processes.function checkout --port 8080``."""

import argparse
import asyncio
import gc
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import uvicorn
import uvloop

from pulsecart.processes import registry
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.settings import MissingSetting, Settings, read
from pulsecart.runtime.telemetry import logs, metrics, tracing
from pulsecart.serving import health, signatures, startup
from pulsecart.serving.access import METRICS
from pulsecart.serving.asgi import App, Receive, Scope, Send, request_of, send_reply
from pulsecart.serving.auth import admit
from pulsecart.serving.cors import safe_headers, with_origins
from pulsecart.serving.hosts import Hosts, refuse
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import reply_of
from pulsecart.serving.router import Router, serve
from pulsecart.serving.server.bounds import Bounds, bounds_of
from pulsecart.serving.server.guard import Guard
from pulsecart.serving.server.http import HttpProtocol
from pulsecart.serving.server.start_limit import StartLimit
from pulsecart.shop import metrics as _business  # noqa: F401  # /metrics shows the families that are declared

BACKLOG = 4096
GRACE_S = 5
WS_MESSAGE_MAX = 65_536
ACCEPTS_PER_TURN = 16
LIVE = ("/sse/", "/ws/")
SIGNER = "relay"


class Function:
    """
    An ASGI application: the operation's routes, health and metrics; events and wake-ups are posted to any other path.

    Args:
        live: the edge's own application, for live streams, WebSockets and forwarded requests.
    """

    def __init__(self, operation: Operation, deps: Deps, live: App | None = None) -> None:
        self._operation = operation
        self._deps = deps
        self._live = live
        self._router = Router([operation])
        self._hosts = Hosts(deps.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hosts.knows(scope):
            await refuse(scope, receive, send)
            return
        if self._live is not None and scope["path"].startswith(LIVE):
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"{self._operation.name} handles HTTP only")
        found = self._router.find(scope["method"], scope["path"])
        if found is not None:
            entry, params = found
            await serve(entry, params, self._deps, scope, receive, send)
            return
        reply = await self._about_itself(scope, receive)
        if reply is None and self._live is not None:
            await self._live(scope, receive, send)
        else:
            await send_reply(send, reply or await self._event(scope, receive))

    async def _about_itself(self, scope: Scope, receive: Receive) -> Reply | None:
        match scope["path"]:
            case "/healthz":
                return Reply(200, b'{"status":"UP"}')
            case "/startz":
                return await health.started(self._deps)
            case "/readyz":
                from pulsecart.broker.dead_letters.table import OpenLetters  # no start needs it

                return await health.ready(self._deps, self._deps.singleton(OpenLetters).count.get)
            case "/metrics" if not _through_a_gateway(scope):
                return await self._measured(scope, receive)
        return None

    async def _measured(self, scope: Scope, receive: Receive) -> Reply:
        try:
            await admit(await request_of(scope, receive, self._deps.settings.max_body_bytes), METRICS, self._deps)
        except Problem as error:
            return reply_of(error)
        return Reply(200, *metrics.exposition())

    async def _event(self, scope: Scope, receive: Receive) -> Reply:
        try:
            most = self._operation.max_body_bytes or self._deps.settings.max_body_bytes
            request = await request_of(scope, receive, most)
        except Problem as error:
            return reply_of(error)
        return await self._operation.answer(request, self._deps)


def _through_a_gateway(scope: Scope) -> bool:
    """
    Whether a gateway forwarded the request, as it does for buyers.

    Metrics are scraped from the pod itself; queue-proxy and API server do not add this header.
    """
    return any(name == b"x-forwarded-proto" for name, _ in scope["headers"])


class Server(uvicorn.Server):
    """A uvicorn server that ends live streams on shutdown, and then waits for the remaining requests."""

    def __init__(self, config: uvicorn.Config, ending: Sequence[Callable[[], Awaitable[None]]]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._ending:
            await end()
        await super().shutdown(sockets)


def websocket(**given: Any) -> asyncio.Protocol:
    """Mark WebSockets as supported for uvicorn; HttpProtocol imports their protocol for the first connection."""
    raise NotImplementedError


def server(
    app: object,
    ending: Sequence[Callable[[], Awaitable[None]]] = (),
    headers: Sequence[tuple[str, str]] = (),
    bounds: Bounds | None = None,
) -> Server:
    """
    Configure the server of a process: no access log, no framework; it stops within GRACE_S.

    Args:
        headers: added to every reply.
        bounds: limits on connections; the defaults if None.
    """
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # our simpler ASGI types
        loop="none",
        interface="asgi3",  # uvicorn detects it for coroutine functions only
        http=partial(HttpProtocol, guard=Guard(bounds or Bounds()), turns=StartLimit()),  # type: ignore[arg-type]  # as a class
        ws=websocket,  # type: ignore[arg-type]  # called like a class
        ws_max_size=WS_MESSAGE_MAX,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=list(headers),
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    return Server(config, ending)


def accepting(listening: socket.socket) -> list[socket.socket]:
    """
    Return the listening socket with ACCEPTS_PER_TURN - 1 duplicates.

    libuv accepts one connection per handle and event loop iteration: with one handle, many simultaneous connections
    to a busy loop wait for seconds.
    """
    # Before duplicating: the duplicate of a blocking socket makes the shared socket blocking again for every worker,
    # and a worker that loses the race for a connection then blocks until the next connection.
    listening.setblocking(False)
    return [listening, *(listening.dup() for _ in range(ACCEPTS_PER_TURN - 1))]


async def run(operation: Operation, settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    deps = open_deps(settings)
    live: App | None = import_module("functions.edge.main").edge_app(deps) if operation.name == "edge" else None
    gc.freeze()
    try:
        app: App = Function(operation, deps, live)
        headers: Sequence[tuple[str, str]] = ()
        if live is not None:  # browsers reach the other operations through the edge
            app, headers = with_origins(app, settings), safe_headers(settings)
        await server(app, deps.before_shutdown, headers, bounds_of(settings)).serve(sockets=accepting(listening))
    finally:
        awake = deps.wake_ups.awake(operation.name)
        await deps.wake_ups.close()
        if awake and deps.peers:
            await deps.peers.hand_over(operation.dns_name)
        await close_deps(deps)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve one operation.")
    target = os.environ.get("FUNCTION_TARGET")
    parser.add_argument(
        "operation",
        choices=registry.names(),
        type=lambda name: name.replace("-", "_"),
        nargs="?" if target else None,
        default=target,
    )
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  # in its own container
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8080")))
    options = parser.parse_args(arguments)
    operation = registry.load(options.operation)
    try:
        settings = read(os.environ, optional=() if operation.redis else ("redis_url",))
        if operation.verifies_events or operation.name == SIGNER:
            signatures.require(settings)
        startup.check_seals(settings, [operation])
        logs.start(settings.log_level, file=settings.log_file)
        known = any(route.allow.roles for route in operation.routes)
        startup.check(settings, options.host, os.environ, reads_tokens=known, sells=False)
        tracing.start(settings.otel_exporter_otlp_endpoint)
        with socket.create_server((options.host, options.port), backlog=BACKLOG) as listening:
            uvloop.run(run(operation, settings, listening))
    except MissingSetting as error:
        sys.exit(str(error))
    tracing.stop()


if __name__ == "__main__":
    main()
