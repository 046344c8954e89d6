"""Runs all operations, the edge and the broker in one process: ``python -m pulsecart.processes.host --fd N``."""

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module

import uvloop

from pulsecart.broker.dead_letters.table import OpenLetters
from pulsecart.broker.local import LocalBroker
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.broker.manifests.strict_yaml import Misconfigured
from pulsecart.processes import registry
from pulsecart.processes.function import accepting, server
from pulsecart.runtime.db.shares import pool_size
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import MissingSetting, Settings, read
from pulsecart.runtime.telemetry import logs, metrics, tracing
from pulsecart.runtime.telemetry.stall import StallWatch
from pulsecart.serving import health, router, startup
from pulsecart.serving.access import ADMIN_OR_DEMO, METRICS, PUBLIC
from pulsecart.serving.asgi import App, Receive, Scope, Send, send_reply
from pulsecart.serving.cors import safe_headers, with_origins
from pulsecart.serving.hosts import Hosts, refuse
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import no_route
from pulsecart.serving.router import Router
from pulsecart.serving.routes import get, post
from pulsecart.serving.server.bounds import bounds_of
from pulsecart.shop.orders.till import Till

log = logging.getLogger(__name__)
STARTING_S = 30.0  # the first execution of code takes longer
EVENTS_MAX = 2048  # concurrent events at the ingress


class Host:
    """
    An ASGI application: routes requests to the operations and the process's own routes, all others to the edge.
    """

    def __init__(self, deps: Deps, operations: Sequence[Operation], knative: LocalBroker, edge: App) -> None:
        self._deps = deps
        self.router = Router([*(one for one in operations if one.name != "edge"), own(knative)])
        self._edge = edge
        self._hosts = Hosts(deps.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hosts.knows(scope):
            await refuse(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._edge(scope, receive, send)
            return
        found = self.router.find(scope["method"], scope["path"])
        if found is not None:
            entry, params = found
            await router.serve(entry, params, self._deps, scope, receive, send)
            return
        methods = self.router.methods(scope["path"])
        if methods:
            await send_reply(send, no_route(scope["method"], scope["path"], methods))
        else:
            await self._edge(scope, receive, send)


def own(knative: LocalBroker) -> Operation:
    """
    Return the routes of the process itself: health, metrics and the broker's ingress.

    On a cluster, no buyer can reach the ingress; here it requires an admin (or the demo). Operations do not use it:
    they write events to the log in their own transactions.
    """

    async def alive(request: Request, deps: Deps) -> Reply:
        return Reply(200, b'{"status":"UP"}')

    async def ready(request: Request, deps: Deps) -> Reply:
        return await health.ready(deps, deps.singleton(OpenLetters).count.get, knative)

    async def measured(request: Request, deps: Deps) -> Reply:
        return Reply(200, *metrics.exposition())

    async def take(request: Request, deps: Deps) -> Reply:
        return await knative.ingress(request, request.params["namespace"], request.params["name"])

    routes = [
        get("/healthz", alive, allow=PUBLIC),
        get("/readyz", ready, allow=PUBLIC),
        get("/metrics", measured, allow=METRICS),
        post("/broker/{namespace}/{name}", take, allow=ADMIN_OR_DEMO),
    ]
    return Operation("host", routes, concurrency=EVENTS_MAX)


async def run(settings: Settings, listening: socket.socket, worker: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM; then end live streams, finish requests in flight, and stop dispatching."""
    operations = registry.load_all()
    startup.check_seals(settings, operations.values())
    deps = open_deps(replace(settings, pool_max=await pool_size(settings.database_url, workers)))
    knative = LocalBroker(operations, EVENTING_DIR, deps, worker, workers, busy=lambda: orders_wait(deps))
    deps.committed = knative.wake
    for operation in operations.values():
        _register_wake(operation, deps)
    edge: App = import_module("functions.edge.main").edge_app(deps)
    host = with_origins(Host(deps, list(operations.values()), knative, edge), settings)
    stall = StallWatch(asyncio.get_running_loop(), starting_s=STARTING_S)
    stall.start()
    await knative.start()
    for operation in operations.values():
        deps.wake_ups.wake(operation.name)  # wake-ups that an ended process received are lost
    log.info("worker %d of %d serves %d operations", worker, workers, len(operations))
    gc.freeze()
    try:
        serving = server(host, deps.before_shutdown, safe_headers(settings), bounds_of(settings))
        await serving.serve(sockets=accepting(listening))
    finally:
        await deps.wake_ups.close()
        await knative.stop()
        stall.stop()
        await close_deps(deps)


def orders_wait(deps: Deps) -> bool:
    """Whether a buyer's order waits for its transaction to start."""
    till = deps.singletons.get(Till)
    return isinstance(till, Till) and till.has_queue


def _register_wake(operation: Operation, deps: Deps) -> None:
    wake = operation.wake
    if wake is not None:
        own = deps.share(operation.name, operation.connections)
        deps.wake_ups.register(operation.name, lambda: wake(own))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve every operation in one process.")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket, inherited")
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    with socket.socket(fileno=options.fd) as listening:
        try:
            settings = read(os.environ)
            logs.start(settings.log_level, file=settings.log_file)
            startup.check(settings, startup.host_of(listening), os.environ, reads_tokens=True, sells=True)
            tracing.start(settings.otel_exporter_otlp_endpoint)
            uvloop.run(run(settings, listening, options.worker, options.workers))
        except (Misconfigured, MissingSetting) as error:
            sys.exit(str(error))
    tracing.stop()


if __name__ == "__main__":
    main()
