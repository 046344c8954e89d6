"""The edge as a Starlette app: streams and sockets straight to ASGI, everything else through the operation."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from runtime import starlette_door
from runtime.deps import Deps
from runtime.edge import ws
from runtime.edge.sse import EventStreams
from runtime.serve import Operation


def live_app(operation: Operation, deps: Deps) -> Router:
    """
    Args:
        deps: of this process; the app takes the operation's share of it.
    """
    own = deps.share(operation.name, operation.connections)

    async def orders(websocket: WebSocket) -> None:
        await ws.orders(websocket, own)

    async def answer(request: Request) -> Response:
        return await starlette_door.answer(operation, request, deps)

    streams: Any = EventStreams(own)
    return Router(
        [
            Route("/sse/{rest:path}", streams, methods=["GET"]),
            WebSocketRoute("/ws/orders", orders),
            Route("/{rest:path}", answer, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )
