"""Serves orders: an order, its status, a customer's orders, tracking ids, and the queue of accepted orders."""

from typing import Any

import msgspec

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.fresh import Fresh
from pulsecart.runtime.problem import Malformed
from pulsecart.runtime.redis_breaker import Breaker
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.access import CUSTOMER, OWNER, OWNER_OR_PARTNER, PUBLIC, PUBLIC_RATE_LIMITED
from pulsecart.serving.auth import require_buyer
from pulsecart.serving.bodies import names_somebody
from pulsecart.serving.health import up
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import check
from pulsecart.serving.query import cursor_malformed, page_limit, parameters
from pulsecart.serving.routes import get
from pulsecart.shop.orders.db import by_customer
from pulsecart.shop.orders.db.by_customer import PAGE
from pulsecart.shop.orders.db.orders import require
from pulsecart.shop.orders.db.queue import queue
from pulsecart.shop.orders.order import Order, order_document

QUEUE_FRESH_S = 1.0
STATUS_KEY = "order_status:"
CACHE_STATUS = "cache-status"  # RFC 9211


async def show(request: Request, deps: Deps) -> Reply:
    """Show an order with its lines, to its owner, a partner or an admin."""
    order = await _own(request, deps, request.params["id"])
    return Reply(200, msgspec.json.encode(order_document(order)))


async def status(request: Request, deps: Deps) -> Reply:
    """
    Show an order's status, from ``order_status:{id}`` while it is in progress, else from PostgreSQL. Only the order's
    events write the cache; this operation never does.
    """
    order_id = request.params["id"]
    cached = await _cached(order_id, deps) if is_id(order_id) else None
    if cached is not None:
        check(request, deps, "order", "read", owner=cached.pop("userId"), status=cached["status"])
        return Reply(200, msgspec.json.encode(cached), headers=((CACHE_STATUS, "order_status; hit"),))
    order = await _own(request, deps, order_id)
    document = {"orderId": order.order_id, "status": order.status, "sequence": order.version}
    return Reply(200, msgspec.json.encode(document), headers=((CACHE_STATUS, "order_status; fwd=miss"),))


async def _cached(order_id: str, deps: Deps) -> dict[str, Any] | None:
    try:
        found = await deps.singleton(Breaker).ask(lambda: deps.redis.get(STATUS_KEY + order_id))
    except RedisError:
        return None
    document: dict[str, Any] | None = msgspec.json.decode(found) if found else None
    return document


async def of_mine(request: Request, deps: Deps) -> Reply:
    """
    List the caller's orders, newest first, from the projection ``orders_by_customer``.

    Raises:
        Malformed: ``userId``, ``limit`` or ``cursor`` is malformed.
    """
    given = parameters(request.query)
    named = given.get("userId")
    if named is not None and not names_somebody(named):
        raise Malformed("user-malformed", "userId= must have 1 to 64 printable ASCII characters without a space.")
    buyer = await require_buyer(request, deps, named)
    limit, before = page_limit(given, PAGE), given.get("cursor")
    if before is not None and not is_id(before):
        raise cursor_malformed()
    async with deps.db.transaction() as tx:
        found = await by_customer.orders_of(tx, buyer, before=before, limit=limit + 1)
    page: dict[str, Any] = {"orders": found[:limit]}
    if len(found) > limit:
        page["next"] = page["orders"][-1]["orderId"]
    return Reply(200, msgspec.json.encode(page))


async def show_passport(request: Request, deps: Deps) -> Reply:
    """Show an order's request, steps, events and deliveries, to its owner; to an admin, errors too."""
    from functions.orders.passport import passport_of  # loads eventing/, which only this route needs

    async with deps.db.transaction() as tx:
        order = await require(tx, request.params["id"])
    check(request, deps, "order", "inspect", owner=order.buyer_id, status=order.status)
    errors = request.caller is not None and "admin" in request.caller.roles
    document = await passport_of(order, deps, errors=errors)
    return Reply(200, msgspec.json.encode(document), headers=(("cache-control", "no-store"),))


async def track(request: Request, deps: Deps) -> Reply:
    """Show the status of an accepted purchase: PENDING until its stock is decided."""
    order = await _own(request, deps, request.params["trackingId"])
    document = {"trackingId": order.order_id, "orderId": order.order_id, "status": order.status}
    if order.cancel_reason:
        document["reason"] = order.cancel_reason
    return Reply(200, msgspec.json.encode(document))


async def of_customer(request: Request, deps: Deps) -> Reply:
    """List a customer's orders, newest first, from the projection."""
    customer_id = request.params["id"]
    check(request, deps, "order", "list", owner=customer_id)
    async with deps.db.transaction() as tx:
        found = await by_customer.orders_of(tx, customer_id)
    return Reply(200, msgspec.json.encode({"customerId": customer_id, "orders": found}))


class Standing:
    """Reads the queue's state once for concurrent requests; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self.now = Fresh(self._read, QUEUE_FRESH_S)

    async def _read(self) -> bytes:
        from pulsecart.broker.dead_letters.table import open_ones  # no start needs it

        async with self._deps.db.transaction() as tx:
            now, dead_letters = await queue(tx), await open_ones(tx)
        document = {
            "pending": now.pending,
            "oldestSeconds": round(now.oldest_s, 3),
            "acceptedPerSecond": now.accepted_per_s,
            "decidedPerSecond": now.decided_per_s,
            "deadLetters": dead_letters,
            "lag": now.lag,
        }
        return msgspec.json.encode(document)


async def queue_status(request: Request, deps: Deps) -> Reply:
    """Show undecided orders and the rates of intake and decisions, from PostgreSQL, at most QUEUE_FRESH_S old."""
    return Reply(200, await deps.singleton(Standing).now.get(), headers=(("cache-control", "no-store"),))


async def healthy(request: Request, deps: Deps) -> Reply:
    """Whether a purchase can succeed now."""
    return await up(deps)


async def _own(request: Request, deps: Deps, order_id: str) -> Order:
    async with deps.db.transaction() as tx:
        order = await require(tx, order_id)
    check(request, deps, "order", "read", owner=order.buyer_id, status=order.status)
    return order


orders = operation(
    "orders",
    routes=[
        get("/api/v1/orders", of_mine, allow=CUSTOMER),
        get("/api/v1/orders/{id}", show, allow=OWNER_OR_PARTNER),
        get("/api/v1/orders/{id}/status", status, allow=OWNER_OR_PARTNER),
        get("/api/v1/orders/{id}/passport", show_passport, allow=OWNER),
        get("/api/v1/async/purchase/{trackingId}", track, allow=OWNER),
        get("/api/v1/customers/{id}/orders", of_customer, allow=OWNER),
        get("/api/v1/async/queue/status", queue_status, allow=PUBLIC_RATE_LIMITED),
        get("/api/v1/sync/health", healthy, allow=PUBLIC),
        get("/api/v1/async/health", healthy, allow=PUBLIC),
    ],
    redis=True,
)
