"""The edge as a Starlette app: streams and sockets straight to ASGI, everything else through the operation."""

from typing import Any

from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from runtime import router
from runtime.asgi import Receive, Scope, Send, send_reply
from runtime.deps import Deps
from runtime.edge import ws
from runtime.edge.sse import EventStreams
from runtime.serve import Operation, reply_of
from shop.problem import NotFound


class Answers:
    """The ASGI app of what is requested and answered at once."""

    def __init__(self, operation: Operation, deps: Deps) -> None:
        self._routes = router.Router([operation])
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.find("GET" if scope["method"] == "HEAD" else scope["method"], scope["path"])
        if found is None:
            await send_reply(send, reply_of(NotFound("no-such-page", f"There is nothing at {scope['path'][:200]}.")))
            return
        await router.serve(*found, self._deps, scope, receive, send)


def live_app(operation: Operation, deps: Deps) -> Router:
    """
    Args:
        deps: of this process; the app takes the operation's share of it.
    """
    own = deps.share(operation.name, operation.connections)

    async def orders(websocket: WebSocket) -> None:
        await ws.orders(websocket, own)

    streams: Any = EventStreams(own)
    answers: Any = Answers(operation, deps)
    return Router(
        [
            Route("/sse/{rest:path}", streams, methods=["GET"]),
            WebSocketRoute("/ws/orders", orders),
            Route("/{rest:path}", answers),
        ]
    )
