"""Builds the edge's ASGI app: Starlette routes live streams and WebSockets, ``Answers`` handles other requests."""

from typing import Any

from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketClose

from pulsecart.edge.forward import Forward
from pulsecart.edge.streams import ws
from pulsecart.edge.streams.sse import EventStreams
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import NotFound
from pulsecart.serving import router
from pulsecart.serving.asgi import Receive, Scope, Send, send_reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import no_route, reply_of

FORWARDED = ("/api/", "/events", "/pubsub/")


class Answers:
    """The ASGI app for plain requests: the operation's routes, and FORWARDED paths of the other operations."""

    def __init__(self, operation: Operation, deps: Deps) -> None:
        self._routes = router.Router([operation])
        self._deps = deps
        self._forward = Forward(deps.peers, deps) if deps.peers else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found = self._routes.find(scope["method"], path)
        if found is not None:
            await router.serve(*found, self._deps, scope, receive, send)
        elif self._forward is not None and path.startswith(FORWARDED):
            await self._forward(scope, receive, send)
        elif (methods := self._routes.methods(path)) or path.startswith(FORWARDED):
            await send_reply(send, no_route(scope["method"], path, methods))
        else:
            await send_reply(send, reply_of(NotFound("no-such-page", f"There is no resource at {path[:200]}.")))


def live_app(operation: Operation, deps: Deps) -> Router:
    """
    Build the app.

    Args:
        deps: those of the process; the app uses the operation's share of them.
    """
    own = deps.share(operation.name, operation.connections)

    async def orders(websocket: WebSocket) -> None:
        await ws.orders(websocket, own)

    answers = Answers(operation, deps)

    async def all_else(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:  # no Starlette route: they match no path with a line break
            await answers(scope, receive, send)

    streams: Any = EventStreams(own)
    routes = [Route("/sse/{rest:path}", streams, methods=["GET"]), WebSocketRoute("/ws/orders", orders)]
    # A redirect to the path with or without a trailing slash would contain the request's Host header.
    return Router(routes, redirect_slashes=False, default=all_else)
