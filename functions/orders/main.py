"""GET an order · what became of a tracking id · a customer's orders · how the queue of accepted ones stands"""

import msgspec

from runtime.auth import buyer_of
from runtime.deps import Deps
from runtime.health import up
from runtime.http import Reply, Request
from runtime.serve import get, operation
from shop.db import customers
from shop.db.orders import find
from shop.db.queue import queue
from shop.event import is_id
from shop.order import Order, order_document
from shop.problem import Forbidden, NotFound, Unauthorized


async def show(request: Request, deps: Deps) -> Reply:
    """An order with its lines, to its owner."""
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
    await _allow(request, deps, customer_id)
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
    await _allow(request, deps, order.buyer_id)
    return order


async def _allow(request: Request, deps: Deps, owner: str) -> None:
    if deps.settings.accept_unsigned_buyers:
        return
    buyer = await buyer_of(request, deps)
    if buyer is None:
        raise Unauthorized("not-signed-in", "Send your token: Authorization: Bearer …")
    if buyer != owner:
        raise Forbidden("not-yours", "This belongs to another buyer.")


orders = operation(
    "orders",
    routes=[
        get("/api/v1/orders/{id}", show),
        get("/api/v1/async/purchase/{trackingId}", track),
        get("/api/v1/customers/{id}/orders", of_customer),
        get("/api/v1/async/queue/status", queue_status),
        get("/api/v1/sync/health", healthy),
        get("/api/v1/async/health", healthy),
    ],
)
