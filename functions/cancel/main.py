"""POST orders/{id}/cancel → order CANCELED, its units released; a paid one is refunded by its event"""

import msgspec

from runtime.auth import buyer_of
from runtime.deps import Deps
from runtime.http import Reply, Request
from runtime.serve import operation, post
from shop.db import history, orders
from shop.event import is_id
from shop.messages import OrderCanceled, StockAdjusted
from shop.order import Order, order_document
from shop.problem import Forbidden, NotFound, Unauthorized


async def call_off(request: Request, deps: Deps) -> Reply:
    """
    Cancel an order that is not fulfilled; cancelling twice is one cancelling.

    Raises:
        Refused: it is FULFILLED.
    """
    order_id = request.params["id"]
    buyer = await buyer_of(request, deps)
    async with deps.db.transaction() as tx:
        order = await orders.find(tx, order_id, lock=True) if is_id(order_id) else None
        if order is None:
            raise NotFound("unknown-order", f"There is no order {order_id[:64]}.")
        _check_owner(order, buyer, deps)
        if order.status != "CANCELED":
            order = await orders.cancel(tx, order, "BUYER", actor=history.buyer(order))
    return Reply(200, msgspec.json.encode(order_document(order)))


def _check_owner(order: Order, buyer: str | None, deps: Deps) -> None:
    if buyer is None and deps.settings.accept_unsigned_buyers:
        return
    if buyer is None:
        raise Unauthorized("not-signed-in", "Send your token: Authorization: Bearer …")
    if buyer != order.buyer_id:
        raise Forbidden("not-yours", "This order belongs to another buyer.")


cancel = operation(
    "cancel", routes=[post("/api/v1/orders/{id}/cancel", call_off)], emits=[OrderCanceled, StockAdjusted]
)
