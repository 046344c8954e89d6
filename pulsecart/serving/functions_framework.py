"""The functions-framework door: a Starlette request becomes ours, our reply becomes Starlette's."""

import os

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem
from pulsecart.serving.asgi import request_of
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import for_event_source, reply_of
from pulsecart.serving.startup import check_unsigned


async def answer(operation: Operation, request: StarletteRequest, deps: Deps) -> Response:
    """
    The operation's answer to one request.

    Raises:
        MissingSetting: unsigned buyers are accepted at an address that is not this machine's own; functions-framework
            has no start hook that could refuse this earlier.
    """
    server = request.scope.get("server")
    check_unsigned(deps.settings, server[0] if server else "", os.environ)
    try:
        ours = await request_of(request.scope, request.receive, deps.settings.max_body_bytes)
    except Problem as error:
        return response_of(reply_of(error))
    except ConnectionError:
        return Response(status_code=400)  # nobody is there to read it
    return response_of(for_event_source(await operation.answer(ours, deps), ours.headers))


def response_of(reply: Reply) -> Response:
    """A Starlette response of the same status, headers and body."""
    headers = dict(reply.headers)
    if reply.stream is not None:
        return StreamingResponse(reply.stream, reply.status, headers, reply.media_type)
    if not reply.body:
        return Response(status_code=reply.status, headers=headers)
    return Response(reply.body, reply.status, headers, reply.media_type or None)
