"""Payments in PostgreSQL. An order has one at most; its key at the gateway is the payment's id."""

from dataclasses import dataclass, replace

from msgspec import structs

from shop.db.pool import Tx
from shop.money import decimal_amount
from shop.order import Order

COLUMNS = "payment_id::text, order_id::text, status, amount_minor, currency"


@dataclass(frozen=True, slots=True)
class Payment:
    """``status``: INTENDED (the gateway may know it or not), CHARGED, DECLINED, REFUNDED, VOIDED."""

    payment_id: str
    order_id: str
    status: str
    amount_minor: int
    currency: str

    @property
    def amount(self) -> float:
        """A decimal, as contracts have it."""
        return decimal_amount(self.amount_minor, self.currency)


async def intend(tx: Tx, order: Order, payment_id: str) -> Payment:
    """The payment of a locked order: written now where there was none."""
    await tx.execute(
        """
        INSERT INTO payments (payment_id, order_id, status, amount_minor, currency, created_at, updated_at)
        VALUES (%s, %s, 'INTENDED', %s, %s, %s, %s) ON CONFLICT (order_id) DO NOTHING
        """,
        (payment_id, order.order_id, order.total_minor, order.currency, tx.now, tx.now),
    )
    payment = await find(tx, order.order_id)
    if payment is None:
        raise LookupError(f"the payment of {order.order_id} was written and is not there")
    return payment


async def find(tx: Tx, order_id: str) -> Payment | None:
    """The order's payment. Who writes it holds the order's row locked."""
    row = await tx.row(f"SELECT {COLUMNS} FROM payments WHERE order_id = %s", (order_id,))
    return Payment(*row) if row else None


async def settle(tx: Tx, payment: Payment, status: str, gateway_ref: str) -> Payment:
    """Write what became of it."""
    await tx.execute(
        "UPDATE payments SET status = %s, gateway_ref = %s, updated_at = %s WHERE payment_id = %s",
        (status, gateway_ref, tx.now, payment.payment_id),
    )
    return replace(payment, status=status)


async def numbered(tx: Tx, order: Order) -> Order:
    """A locked order with its next version: the sequence of an event about its money, which is no step of it."""
    await tx.execute(
        "UPDATE orders SET version = version + 1, updated_at = %s WHERE order_id = %s", (tx.now, order.order_id)
    )
    return structs.replace(order, version=order.version + 1)
