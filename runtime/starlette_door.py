"""The functions-framework door: a Starlette request becomes ours, our reply becomes Starlette's."""

import os

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse

from runtime.deps import Deps
from runtime.http import Reply, Request
from runtime.serve import Operation
from runtime.startup import check_unsigned


async def answer(operation: Operation, request: StarletteRequest, deps: Deps) -> Response:
    """
    The operation's answer to one request.

    Raises:
        MissingSetting: it came over an address at which nobody may be believed; functions-framework has no start hook.
    """
    server = request.scope.get("server")
    check_unsigned(deps.settings, server[0] if server else "", os.environ)
    ours = Request(
        method=request.method,
        path=request.url.path,
        headers=dict(request.headers),
        body=await request.body(),
        query=request.url.query,
        client=request.client.host if request.client else "",
    )
    return response_of(await operation.answer(ours, deps))


def response_of(reply: Reply) -> Response:
    """A Starlette response of the same status, headers and body."""
    headers = dict(reply.headers)
    if reply.stream is not None:
        return StreamingResponse(reply.stream, reply.status, headers, reply.media_type)
    if not reply.body:
        return Response(status_code=reply.status, headers=headers)
    return Response(reply.body, reply.status, headers, reply.media_type or None)
