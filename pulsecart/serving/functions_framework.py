"""Adapts functions-framework to operations: converts Starlette requests to ours and our replies to Starlette's."""

import os

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem
from pulsecart.serving.asgi import request_of
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import for_event_source, reply_of
from pulsecart.serving.routes import max_body_of
from pulsecart.serving.startup import check_unsigned


async def answer(operation: Operation, request: StarletteRequest, deps: Deps) -> Response:
    """
    Pass one request to the operation and return its reply.

    Raises:
        MissingSetting: unsigned buyers are accepted at an address that other machines can reach; functions-framework
            has no startup hook for an earlier check.
    """
    server = request.scope.get("server")
    check_unsigned(deps.settings, server[0] if server else "", os.environ)
    try:
        most = max_body_of(operation.routes, request.method, request.scope["path"], deps.settings.max_body_bytes)
        ours = await request_of(request.scope, request.receive, most)
    except Problem as error:
        return response_of(reply_of(error))
    except ConnectionError:
        return Response(status_code=400)  # the client has disconnected
    return response_of(for_event_source(await operation.answer(ours, deps), ours.headers))


def response_of(reply: Reply) -> Response:
    """Convert a reply to a Starlette response of the same status, headers and body."""
    headers = dict(reply.headers)
    if reply.stream is not None:
        return StreamingResponse(reply.stream, reply.status, headers, reply.media_type)
    if not reply.body:
        return Response(status_code=reply.status, headers=headers)
    return Response(reply.body, reply.status, headers, reply.media_type or None)
