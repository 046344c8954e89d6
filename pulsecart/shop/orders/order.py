"""Models an order and its states: PENDING → CONFIRMED (stock held) → PAID → FULFILLED; the first 3 → CANCELED."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Malformed, Refused
from pulsecart.shop.money import decimal_amount, wire_id

Status = Literal["PENDING", "CONFIRMED", "PAID", "FULFILLED", "CANCELED"]
Path = Literal["sync", "async", "orders"]

STEPS: dict[str, frozenset[str]] = {
    "PENDING": frozenset({"CONFIRMED", "CANCELED"}),
    "CONFIRMED": frozenset({"PAID", "CANCELED"}),
    "PAID": frozenset({"FULFILLED", "CANCELED"}),
    "FULFILLED": frozenset(),
    "CANCELED": frozenset(),
}
HOLDS_STOCK = frozenset({"CONFIRMED", "PAID", "FULFILLED"})


def check_id(order_id: str) -> None:
    """
    Reject an event about an order that cannot be one of this shop.

    Raises:
        Malformed: ``order_id`` is not an order's id.
    """
    if not is_id(order_id):
        raise Malformed("unknown-order", f"{order_id[:64]} is not an order of this shop.")


class Line(Struct, frozen=True):
    """
    ``price_minor`` is per unit, in the order's currency; ``accepted_minor`` is the unit price that the buyer named,
    if any. ``sale_id`` is the flash sale whose price applies; None for the list price.
    """

    product_id: str
    qty: int
    price_minor: int = 0
    accepted_minor: int | None = None
    sale_id: str | None = None


class Order(Struct, frozen=True, kw_only=True):
    """``version`` is the sequence of its newest event."""

    order_id: str
    buyer_id: str
    status: str
    lines: tuple[Line, ...]
    currency: str
    path: str
    version: int
    created_at: datetime
    claim_id: str | None = None
    cancel_reason: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None

    @property
    def total_minor(self) -> int:
        total = 0
        for line in self.lines:  # called several times per order: a generator costs more than the sum itself
            total += line.qty * line.price_minor
        return total


def may_become(status: str, wanted: str) -> bool:
    """Whether the state machine allows this step."""
    return wanted in STEPS[status]


def stepped(order: Order, status: str, reason: str | None = None) -> Order:
    """
    Return the order in its next status.

    Raises:
        Refused: the state machine does not allow this step.
    """
    if not may_become(order.status, status):
        raise refuse_step(order.order_id, order.status, status)
    return replace(order, status=status, version=order.version + 1, cancel_reason=reason)


def refuse_step(order_id: str, status: str, wanted: str) -> Refused:
    """Return the problem for a step that is not allowed: the current status and the statuses that can follow."""
    allowed = sorted(STEPS[status])
    return Refused(
        "illegal-step",
        f"Order {order_id} is {status}; from there it can become {' or '.join(allowed) or 'nothing'}, not {wanted}.",
        orderId=order_id,
        orderStatus=status,
        allowed=allowed,
    )


def purchase_document(order: Order) -> dict[str, Any]:
    """Return the reply to a purchase of one product, in the seed API's format."""
    line = order.lines[0]
    return {
        "orderId": order.order_id,
        "status": order.status,
        "productId": wire_id(line.product_id),
        "quantity": line.qty,
        "userId": wire_id(order.buyer_id),
        "totalAmount": decimal_amount(order.total_minor, order.currency),
        "currency": order.currency,
        "createdAt": order.created_at,
    }


def order_document(order: Order) -> dict[str, Any]:
    """Return an order as ``GET /api/v1/orders/{id}`` shows it."""
    document: dict[str, Any] = {
        "orderId": order.order_id,
        "status": order.status,
        "userId": wire_id(order.buyer_id),
        "items": [
            {
                "productId": wire_id(line.product_id),
                "qty": line.qty,
                "price": decimal_amount(line.price_minor, order.currency),
            }
            for line in order.lines
        ],
        "totalAmount": decimal_amount(order.total_minor, order.currency),
        "currency": order.currency,
        "createdAt": order.created_at,
    }
    if order.cancel_reason:
        document["reason"] = order.cancel_reason
    return document
