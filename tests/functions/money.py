"""Delivers the log's events to the operations that move money, in any order and repeatedly."""

from random import Random
from typing import Any

from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderPaid
from pulsecart.shop.payments.events import RefundRequested
from pulsecart.shop.payments.simulated_gateway import Mode
from tests.client import Client

SUBSCRIBER_OF = {
    OrderConfirmed.TYPE: "pay",
    OrderPaid.TYPE: "fulfil",
    OrderCanceled.TYPE: "refund",
    RefundRequested.TYPE: "refund",
}


async def confirmed(client: Client, user: int = 7) -> CloudEvent:
    """Purchase product 1; return the order.confirmed event."""
    assert (await client.buy(product=1, user=user)).status == 200
    return (await client.log(OrderConfirmed.TYPE))[-1]


async def gateway(client: Client, mode: Mode, share: float = 1.0) -> None:
    answered = await client.ask("PUT", "/api/v1/payments/simulator", {"mode": mode, "share": share})
    assert answered.status == 200


async def cancel(client: Client, order_id: str) -> int:
    return (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status


async def state(client: Client, order_id: str) -> tuple[Any, ...]:
    """Return the status of the order, of its payment, and of the charge at the gateway."""
    row = await client.row(
        """
        SELECT o.status, p.status, c.status FROM orders o LEFT JOIN payments p USING (order_id)
        LEFT JOIN simulated_gateway.charges c ON c.idempotency_key = p.payment_id::text WHERE o.order_id = %s
        """,
        order_id,
    )
    return tuple(row)


async def events_of(client: Client, order_id: str) -> list[str]:
    """Return the order's events by their short names, in order."""
    return [event.type.split(".")[3] for event in await client.log() if event.partitionkey == order_id]


async def deliver_all(client: Client, dice: Random | None = None) -> None:
    """Deliver every event at least twice, in the log's order or at random, until there are no new events."""
    delivered: dict[str, int] = {}
    while waiting := [e for e in await client.log(*SUBSCRIBER_OF) if delivered.get(e.id, 0) < 2]:
        event = dice.choice(waiting) if dice else waiting[0]
        status = await client.handle_event(SUBSCRIBER_OF[event.type], event)
        assert status in (204, 503)
        if status == 204:
            delivered[event.id] = delivered.get(event.id, 0) + 1


async def left(client: Client) -> tuple[int, int]:
    """Return the units of product 1 on hand, and the units that count against buyer 7's limit."""
    row = await client.row("SELECT available FROM stock WHERE product_id = '1'")
    bought = await client.row("SELECT coalesce(sum(units), 0) FROM buyer_units WHERE buyer_id = '7'")
    return row[0], bought[0]
