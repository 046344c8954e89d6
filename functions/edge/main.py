"""Serves browsers: the shop's pages, live streams, sessions, stream tickets and the list of sales."""

from typing import Any

import msgspec

from pulsecart.edge.app import live_app
from pulsecart.edge.session import cookie_for, issue_ticket, no_cookie
from pulsecart.edge.streams.snapshot import Snapshots
from pulsecart.edge.streams.sse import stream
from pulsecart.edge.streams.topics import STREAMED
from pulsecart.edge.web.docs import api_document, api_page, problem
from pulsecart.edge.web.pages import page, partners, passport, shop, static
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed, Unauthorized
from pulsecart.serving.access import CUSTOMER, PUBLIC, SIGNING_IN
from pulsecart.serving.auth import customer_of, require_buyer
from pulsecart.serving.bodies import Id, decoded
from pulsecart.serving.csrf import check_origin
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import delete, get, post


class Claimed(msgspec.Struct):
    """The buyer that a demo's browser claims to be; may be omitted with a token."""

    userId: Id | None = None


async def session(request: Request, deps: Deps) -> Reply:
    """
    Set a session cookie for the buyer of the Bearer token, or for the buyer in the body in the demo, without a check.

    Raises:
        Unauthorized: there is no token, and this is not the demo.
        Forbidden: the request comes from another site's page, or the body names another buyer than the token.
    """
    check_origin(request.headers, deps.settings)
    if request.caller is None and not deps.settings.accept_unsigned_buyers:
        raise Unauthorized("no-token", "Send your token: Authorization: Bearer …")
    claimed = _claimed(request.body or b"{}")
    if claimed is None and request.caller is None:
        raise Malformed("no-buyer", 'The body does not name the buyer. Send {"userId": 12345}.')
    buyer_id = await require_buyer(request, deps, claimed)
    return Reply(204, headers=(("set-cookie", cookie_for(buyer_id, deps)),))


async def sign_out(request: Request, deps: Deps) -> Reply:
    """
    Delete the session cookie, whether or not it was valid.

    Raises:
        Forbidden: the request comes from another site's page.
    """
    check_origin(request.headers, deps.settings)
    return Reply(204, headers=(("set-cookie", no_cookie(deps)),))


async def stream_ticket(request: Request, deps: Deps) -> Reply:
    """
    Issue a ticket for ``?ticket=`` that opens one stream, for clients that can send neither cookie nor header.

    Raises:
        Unauthorized: there is neither a session nor a Bearer token.
    """
    check_origin(request.headers, deps.settings)
    buyer = await customer_of(request, deps)
    if buyer is None:
        raise Unauthorized(
            "no-session", "Sign in with POST /api/v1/session first, or send your token: Authorization: Bearer …"
        )
    ticket = await issue_ticket(buyer, deps)
    return Reply(body=msgspec.json.encode({"ticket": ticket}), headers=(("cache-control", "no-store"),))


async def sales(request: Request, deps: Deps) -> Reply:
    """List open, planned and recently ended sales; at most a second old."""
    return Reply(body=await deps.singleton(Snapshots).sales(), headers=(("cache-control", "no-store"),))


def _claimed(body: bytes) -> str | None:
    try:
        buyer_id = decoded(body, Claimed).userId
    except Malformed as error:
        raise Malformed(
            "no-buyer", f'The body does not name the buyer. Send {{"userId": 12345}}. {error.detail}'
        ) from None
    return None if buyer_id is None else str(buyer_id)


edge = operation(
    "edge",
    routes=[
        get("/", page, allow=PUBLIC),
        get("/products/{id}", shop, allow=PUBLIC),
        get("/cart", shop, allow=PUBLIC),
        get("/orders", shop, allow=PUBLIC),
        get("/orders/{id}", shop, allow=PUBLIC),
        get("/orders/{id}/passport", passport, allow=PUBLIC),
        get("/partners", partners, allow=PUBLIC),
        get("/static/{file}", static, allow=PUBLIC),
        get("/docs/api", api_page, allow=PUBLIC),
        get("/problems/{type}", problem, allow=PUBLIC),
        get("/api/openapi.json", api_document, allow=PUBLIC),
        *(get(kind.path, stream, allow=kind.allow) for kind in STREAMED),
        get("/api/v1/sales", sales, allow=PUBLIC),
        post("/api/v1/session", session, allow=SIGNING_IN),
        delete("/api/v1/session", sign_out, allow=PUBLIC),
        post("/api/v1/stream-tickets", stream_ticket, allow=CUSTOMER),
    ],
    concurrency=2048,
    redis=True,
)


def edge_app(deps: Deps) -> Any:
    """Return the operation as an ASGI app with ``/ws/orders``: a WebSocket needs more than requests and replies."""
    return live_app(edge.operation, deps)
