"""Routes requests to operations by one table of all their routes."""

import time
from collections.abc import Iterable

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.telemetry.metrics import Requests
from pulsecart.serving.asgi import Receive, Scope, Send, request_of, send_reply
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import reply_of
from pulsecart.serving.routes import Route, RouteTable


class Entry:
    """Holds a route with its operation and its metrics."""

    __slots__ = ("counted", "operation", "route")

    def __init__(self, operation: Operation, route: Route) -> None:
        self.operation = operation
        self.route = route
        self.counted = Requests(operation.name, route.path)


class Router(RouteTable[Entry]):
    """
    Finds the route of a request among those of all operations.

    Raises:
        ValueError: two operations have the same route.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        super().__init__()
        for operation in operations:
            for route in operation.routes:
                self.add(route.method, route.path, Entry(operation, route))


async def serve(entry: Entry, params: dict[str, str], deps: Deps, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the handler of one request's route, send its reply, count and time it."""
    began = time.perf_counter()
    try:
        request = await request_of(scope, receive, max(entry.route.max_body_bytes, deps.settings.max_body_bytes))
    except Problem as error:
        reply: Reply = reply_of(error)
    except ConnectionError:
        return
    else:
        request.params = params
        reply = await entry.operation.respond(entry.route, request, deps)
    await send_reply(send, reply)
    entry.counted.add(reply.status, (time.perf_counter() - began) * 1000)
