"""Cancels an order on request and releases its units; order.canceled then triggers the refund of a paid order."""

import msgspec

from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import OWNER
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import check
from pulsecart.serving.routes import post
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.db import history, orders
from pulsecart.shop.orders.events import OrderCanceled
from pulsecart.shop.orders.order import order_document


async def call_off(request: Request, deps: Deps) -> Reply:
    """
    Cancel an order that is not fulfilled; a repeated request changes nothing.

    Raises:
        Forbidden: a customer may cancel only their own PENDING orders, an admin any order (order.rego).
        Refused: the order is FULFILLED.
    """
    async with deps.db.transaction() as tx:
        order = await orders.require(tx, request.params["id"], lock=True)
        check(request, deps, "order", "cancel", owner=order.buyer_id, status=order.status)
        if order.status != "CANCELED":
            order = await orders.cancel(tx, order, "BUYER", actor=history.buyer(order))
    return Reply(200, msgspec.json.encode(order_document(order)))


cancel = operation(
    "cancel",
    routes=[post("/api/v1/orders/{id}/cancel", call_off, allow=OWNER)],
    emits=[OrderCanceled, StockAdjusted],
)
