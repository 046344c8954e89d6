"""Stores payments in PostgreSQL. An order has at most one; its idempotency key at the gateway is the payment's id."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.orders.db import history
from pulsecart.shop.orders.order import Order

INTEND = """
    INSERT INTO payments (created_at, updated_at, payment_id, order_id, status, amount_minor, currency)
    SELECT %s, %s, payment_id, order_id, 'INTENDED', amount_minor, currency
    FROM json_to_recordset(%s::json) AS t (payment_id uuid, order_id uuid, amount_minor bigint, currency text)
    ON CONFLICT (order_id) DO NOTHING
"""
SETTLE = """
    UPDATE payments SET status = t.status, gateway_ref = t.gateway_ref, updated_at = %s
    FROM json_to_recordset(%s::json) AS t (payment_id uuid, status text, gateway_ref text)
    WHERE payments.payment_id = t.payment_id
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """
    ``status``: INTENDED (the gateway may or may not have it), CHARGED, DECLINED, REFUNDED, VOIDED. ``call_id``
    identifies the attempt to call the gateway (``pulsecart.shop.payments.db.calls``) that comes next.
    """

    payment_id: str
    order_id: str
    status: str
    amount_minor: int
    currency: str
    call_id: str = ""

    @property
    def amount(self) -> float:
        """The amount as a decimal, as in contracts."""
        return decimal_amount(self.amount_minor, self.currency)


async def intend(tx: Tx, orders: Sequence[Order], payment_ids: Mapping[str, str]) -> dict[str, Payment]:
    """Return the payments of locked orders, by order; insert missing ones under the id given for the order."""
    rows = [
        {
            "payment_id": payment_ids[order.order_id],
            "order_id": order.order_id,
            "amount_minor": order.total_minor,
            "currency": order.currency,
        }
        for order in orders
    ]
    await tx.execute(INTEND, (tx.now, tx.now, as_json(rows)))
    return await of_orders(tx, [order.order_id for order in orders])


async def of_orders(tx: Tx, order_ids: Iterable[str]) -> dict[str, Payment]:
    """Return the existing payments, by order. Writers of a payment must hold its order's row lock."""
    rows = await tx.rows(
        """
        SELECT payment_id::text, order_id::text, status, amount_minor, currency
        FROM payments WHERE order_id = ANY(%s::uuid[])
        """,
        (list(order_ids),),
    )
    return {row[1]: Payment(*row) for row in rows}


async def settle(tx: Tx, settled: Iterable[tuple[Payment, str]]) -> None:
    """Write the results of payments, with the gateway's own reference."""
    rows = [{"payment_id": p.payment_id, "status": p.status, "gateway_ref": reference} for p, reference in settled]
    if rows:
        await tx.execute(SETTLE, (tx.now, as_json(rows)))


async def numbered(tx: Tx, order: Order) -> Order:
    """Raise a locked order's version, for the sequence of a payment event, which does not change the order's status."""
    await tx.execute(
        "UPDATE orders SET version = version + 1, updated_at = %s WHERE order_id = %s", (tx.now, order.order_id)
    )
    order = msgspec.structs.replace(order, version=order.version + 1)
    history.note(tx, order)
    return order
