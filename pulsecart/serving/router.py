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
from pulsecart.serving.routes import Route, matched


class Entry:
    """Holds a route with its operation and its metrics."""

    __slots__ = ("counted", "operation", "route")

    def __init__(self, operation: Operation, route: Route) -> None:
        self.operation = operation
        self.route = route
        self.counted = Requests(operation.name, route.path)


class Router:
    """
    Finds the route of a request among those of all operations.

    Raises:
        ValueError: two operations have the same route.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._exact: dict[tuple[str, str], Entry] = {}
        self._patterns: dict[tuple[str, int], list[Entry]] = {}  # by method and number of segments
        for operation in operations:
            for route in operation.routes:
                self._add(Entry(operation, route))

    def _add(self, entry: Entry) -> None:
        at = (entry.route.method, entry.route.path)
        alike = self._patterns.setdefault((entry.route.method, entry.route.path.count("/")), [])
        if at in self._exact or any(known.route.path == entry.route.path for known in alike):
            raise ValueError(f"two operations answer {at[0]} {at[1]}")
        if "{" in entry.route.path:
            alike.append(entry)
        else:
            self._exact[at] = entry

    def find(self, method: str, path: str) -> tuple[Entry, dict[str, str]] | None:
        """Return the route and its placeholders' values; GET routes answer HEAD, where the server omits the body."""
        entry = self._exact.get((method, path))
        if entry is not None:
            return entry, {}
        for entry in self._patterns.get((method, path.count("/")), ()):
            params = matched(entry.route.path, path)
            if params is not None:
                return entry, params
        return self.find("GET", path) if method == "HEAD" else None

    def names(self) -> list[str]:
        """List the routes in the form ``"GET /api/v1/orders/{id}"``."""
        patterns = [entry for alike in self._patterns.values() for entry in alike]
        return [f"{entry.route.method} {entry.route.path}" for entry in (*self._exact.values(), *patterns)]

    def methods(self, path: str) -> list[str]:
        """List the methods that have a route for ``path``."""
        exact = {method for method, known in self._exact if known == path}
        fitting = (e for alike in self._patterns.values() for e in alike if matched(e.route.path, path) is not None)
        return sorted(exact | {entry.route.method for entry in fitting})


async def serve(entry: Entry, params: dict[str, str], deps: Deps, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the handler of one request's route, send its reply, count and time it."""
    began = time.perf_counter()
    try:
        request = await request_of(scope, receive, deps.settings.max_body_bytes)
    except Problem as error:
        reply: Reply = reply_of(error)
    except ConnectionError:
        return
    else:
        request.params = params
        reply = await entry.operation.respond(entry.route, request, deps)
    await send_reply(send, reply)
    entry.counted.add(reply.status, (time.perf_counter() - began) * 1000)
