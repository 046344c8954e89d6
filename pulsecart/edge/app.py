"""The edge as a Starlette app: streams and sockets straight to ASGI, everything else through the operation."""

from typing import Any

from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketClose

from pulsecart.edge.forward import Forward, no_route
from pulsecart.edge.streams import ws
from pulsecart.edge.streams.sse import EventStreams
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import NotFound
from pulsecart.serving import router
from pulsecart.serving.asgi import Receive, Scope, Send, send_reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import reply_of


class Answers:
    """The ASGI app of what is requested and answered at once."""

    def __init__(self, operation: Operation, deps: Deps) -> None:
        self._routes = router.Router([operation])
        self._deps = deps
        self._forward = Forward(deps.neighbours, deps) if deps.neighbours else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found = self._routes.find(scope["method"], path)
        if found is not None:
            await router.serve(*found, self._deps, scope, receive, send)
        elif self._forward is not None and path.startswith("/api/"):
            await self._forward(scope, receive, send)
        elif (methods := self._routes.methods(path)) or path.startswith("/api/"):
            await send_reply(send, no_route(scope["method"], path, methods))
        else:
            await send_reply(send, reply_of(NotFound("no-such-page", f"There is nothing at {path[:200]}.")))


def live_app(operation: Operation, deps: Deps) -> Router:
    """
    Args:
        deps: of this process; the app takes the operation's share of it.
    """
    own = deps.share(operation.name, operation.connections)

    async def orders(websocket: WebSocket) -> None:
        await ws.orders(websocket, own)

    answers = Answers(operation, deps)

    async def all_else(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:  # not a route of Starlette's: a path with a line's end in it fits none
            await answers(scope, receive, send)

    streams: Any = EventStreams(own)
    routes = [Route("/sse/{rest:path}", streams, methods=["GET"]), WebSocketRoute("/ws/orders", orders)]
    # A redirect to the path with or without its last slash would name the host that the request names.
    return Router(routes, redirect_slashes=False, default=all_else)
