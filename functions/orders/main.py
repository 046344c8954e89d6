"""GET an order · what became of a tracking id · a customer's orders · how the queue of accepted ones stands"""

import msgspec

from runtime.access import ANYBODY, OWNER, OWNER_OR_PARTNER
from runtime.deps import Deps
from runtime.health import up
from runtime.http import Reply, Request
from runtime.policy import check
from runtime.serve import get, operation
from shop.db import customers
from shop.db.orders import find
from shop.db.queue import queue
from shop.event import is_id
from shop.order import Order, order_document
from shop.problem import NotFound


async def show(request: Request, deps: Deps) -> Reply:
    """An order with its lines, to its owner, a partner or an admin."""
    order = await _own(request, deps, request.params["id"])
    return Reply(200, msgspec.json.encode(order_document(order)))


async def track(request: Request, deps: Deps) -> Reply:
    """Where an accepted purchase stands: PENDING until its stock was decided."""
    order = await _own(request, deps, request.params["trackingId"])
    document = {"trackingId": order.order_id, "orderId": order.order_id, "status": order.status}
    if order.cancel_reason:
        document["reason"] = order.cancel_reason
    return Reply(200, msgspec.json.encode(document))


async def of_customer(request: Request, deps: Deps) -> Reply:
    """A customer's orders, newest first, from the projection."""
    customer_id = request.params["id"]
    check(request, deps, "order", "list", owner=customer_id)
    async with deps.db.transaction() as tx:
        found = await customers.orders_of(tx, customer_id)
    return Reply(200, msgspec.json.encode({"customerId": customer_id, "orders": found}))


async def queue_status(request: Request, deps: Deps) -> Reply:
    """What was accepted and not decided yet, and how fast both go, from PostgreSQL."""
    async with deps.db.transaction() as tx:
        now = await queue(tx)
    document = {
        "pending": now.pending,
        "oldestSeconds": round(now.oldest_s, 3),
        "acceptedPerSecond": now.accepted_per_s,
        "decidedPerSecond": now.decided_per_s,
        "deadLetters": now.dead_letters,
        "lag": now.lag,
    }
    return Reply(200, msgspec.json.encode(document))


async def healthy(request: Request, deps: Deps) -> Reply:
    """Whether a purchase can succeed now."""
    return await up(deps)


async def _own(request: Request, deps: Deps, order_id: str) -> Order:
    async with deps.db.transaction() as tx:
        order = await find(tx, order_id) if is_id(order_id) else None
    if order is None:
        raise NotFound("unknown-order", f"There is no order {order_id[:64]}.")
    check(request, deps, "order", "read", owner=order.buyer_id, status=order.status)
    return order


orders = operation(
    "orders",
    routes=[
        get("/api/v1/orders/{id}", show, allow=OWNER_OR_PARTNER),
        get("/api/v1/async/purchase/{trackingId}", track, allow=OWNER),
        get("/api/v1/customers/{id}/orders", of_customer, allow=OWNER),
        get("/api/v1/async/queue/status", queue_status, allow=ANYBODY),
        get("/api/v1/sync/health", healthy, allow=ANYBODY),
        get("/api/v1/async/health", healthy, allow=ANYBODY),
    ],
)
