"""Writes a small shop's tables as its operations would leave them: rows of every kind, without errors."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import Connection

from pulsecart.runtime.event import new_id, padded, schema_of

STEPS = {
    "PENDING": ("created",),
    "CONFIRMED": ("created", "confirmed"),
    "PAID": ("created", "confirmed", "paid"),
    "FULFILLED": ("created", "confirmed", "paid", "fulfilled"),
    "SOLD_OUT": ("created", "canceled"),
    "EXPIRED": ("created", "confirmed", "canceled"),
    "RETURNED": ("created", "confirmed", "paid", "canceled"),
}
PAYMENT = {"PAID": "CHARGED", "FULFILLED": "CHARGED", "RETURNED": "REFUNDED"}


class ShopBooks:
    """Writes products, orders and their events; ``orders`` maps each order's final state to its id."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        self.orders: dict[str, str] = {}

    def stock(self, product_id: str, units: int, limit: int = 0) -> None:
        execute = self.connection.execute
        execute(
            "INSERT INTO products (product_id, sku, name, price_minor) VALUES (%s, %s, %s, 4990)",
            (product_id, f"SKU-{product_id}", f"Product {product_id}"),
        )
        execute("INSERT INTO stock (product_id, available, buyer_limit) VALUES (%s, 0, %s)", (product_id, limit))
        execute(
            "INSERT INTO inventory_adjustment (product_id, delta, reason) VALUES (%s, %s, 'INITIAL')",
            (product_id, units),
        )
        self.adjust(product_id, units, "INITIAL")

    def adjust(self, product_id: str, delta: int, reason: str, **more: Any) -> None:
        row = self.connection.execute(
            "UPDATE stock SET available = available + %s, version = version + 1 WHERE product_id = %s"
            " RETURNING available, version",
            (delta, product_id),
        ).fetchone()
        assert row is not None
        data = {"productId": product_id, "delta": delta, "available": row[0], "reason": reason, **more}
        self.say("ecommerce.inventory.stock.adjusted.v1", product_id, row[1], data)

    def order(self, ended: str, buyer: str, product_id: str = "1", qty: int = 1, age_s: float = 1) -> str:
        """Write an order that went through ``STEPS[ended]``; return its id."""
        order_id, claim_id, steps = new_id(), new_id(), STEPS[ended]
        self.orders[ended] = order_id
        held = "confirmed" in steps
        status = "CANCELED" if steps[-1] == "canceled" else ended
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        pay_by = at + timedelta(seconds=30) if status == "CONFIRMED" else None
        reason = "BUYER" if status == "CANCELED" else None
        self.connection.execute(
            "INSERT INTO orders (order_id, buyer_id, status, total_minor, currency, path, claim_id, version, pay_by,"
            " cancel_reason, created_at, updated_at) VALUES (%s, %s, %s, %s, 'USD', 'async', %s, %s, %s, %s, %s, %s)",
            (order_id, buyer, status, qty * 4990, claim_id if held else None, len(steps), pay_by, reason, at, at),
        )
        self.connection.execute("INSERT INTO order_items VALUES (%s, 1, %s, %s, 4990)", (order_id, product_id, qty))
        for sequence, step in enumerate(steps, 1):
            money = {"totalAmount": qty * 49.9, "currency": "USD"}
            output = {"orderId": order_id, "userId": buyer, **money}
            self.say(f"ecommerce.order.order.{step}.v1", order_id, sequence, output)
            self.note(order_id, sequence, "PENDING" if step == "created" else step.upper())
        if held:
            self.connection.execute("INSERT INTO claims (claim_id, state) VALUES (%s, 'won')", (claim_id,))
            self.adjust(product_id, -qty, "RESERVED")
            if status == "CANCELED":
                self.adjust(product_id, qty, "RELEASED", reservations=[claim_id])
            self._count(product_id, buyer, 0 if status == "CANCELED" else qty)
        if ended in PAYMENT:
            self._pay(order_id, PAYMENT[ended], qty * 4990)
        return order_id

    def note(self, order_id: str, sequence: int, status: str) -> None:
        """Write a step of the order's history."""
        self.connection.execute(
            "INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor)"
            " VALUES (%s, %s, %s, now(), 'operation:test')",
            (order_id, sequence, status),
        )

    def say(self, type: str, key: str, sequence: int, data: dict[str, Any]) -> int:
        """Append an event to the log; return its position."""
        row = self.connection.execute(
            "INSERT INTO outbox (id, source, type, subject, time, dataschema, partitionkey, extensions, data)"
            " VALUES (%s, '/pulsecart/test', %s, %s, now(), %s, %s, %s, %s) RETURNING position",
            (new_id(), type, key, schema_of(type), key, json.dumps({"sequence": padded(sequence)}), _bytes(data)),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def read_by(self, trigger: str) -> None:
        """Write a trigger whose cursor is at the log's end."""
        self.connection.execute(
            "INSERT INTO trigger_cursors (trigger, window_from, window_to, position)"
            " VALUES (%s, pg_current_snapshot(), pg_current_snapshot(), 0)"
            " ON CONFLICT (trigger) DO UPDATE SET window_from = excluded.window_from, window_to = excluded.window_to",
            (trigger,),
        )

    def _count(self, product_id: str, buyer: str, qty: int) -> None:
        self.connection.execute(
            "INSERT INTO buyer_units SELECT product_id, %s, %s, buyer_limit FROM stock WHERE product_id = %s"
            " ON CONFLICT (product_id, buyer_id) DO UPDATE SET units = buyer_units.units + excluded.units",
            (buyer, qty, product_id),
        )

    def _pay(self, order_id: str, status: str, amount_minor: int) -> None:
        payment_id, now = new_id(), datetime.now(UTC)
        self.connection.execute(
            "INSERT INTO payments VALUES (%s, %s, %s, %s, 'USD', %s, %s, %s)",
            (payment_id, order_id, status, amount_minor, f"sim_{payment_id}", now, now),
        )
        self.connection.execute(
            "INSERT INTO simulated_gateway.charges VALUES (%s, %s, %s, 'USD', %s, %s, %s)",
            (payment_id, f"sim_{payment_id}", amount_minor, status, now, now),
        )
        if status == "REFUNDED":
            self.number("ecommerce.payment.payment.refunded.v1", order_id, amount=amount_minor / 100, currency="USD")

    def number(self, type: str, order_id: str, **money: Any) -> None:
        """Append an event about an order's payment, with the order's next version."""
        row = self.connection.execute(
            "UPDATE orders SET version = version + 1 WHERE order_id = %s RETURNING version, status", (order_id,)
        ).fetchone()
        assert row is not None
        self.say(type, order_id, row[0], {"orderId": order_id, **money})
        self.note(order_id, row[0], row[1])


def small_shop(database_url: str) -> ShopBooks:
    """Write two products, an order of each kind, a stored reply, a projection, and a trigger at the log's end."""
    connection = psycopg.connect(database_url, autocommit=True)
    books = ShopBooks(connection)
    books.stock("1", 1000, limit=2)
    books.stock("P-2", 50)
    for number, ended in enumerate(STEPS):
        if ended != "PENDING":
            books.order(ended, f"buyer-{number}")
    books.order("PAID", "buyer-1", "P-2", qty=3)
    books.order("PENDING", "buyer-9")
    paid = books.orders["PAID"]
    connection.execute(
        "INSERT INTO idempotency_keys VALUES ('\\x01', '\\x02', %s, 201, %s, now())",
        (paid, json.dumps({"orderId": paid, "status": "PENDING"})),
    )
    connection.execute(
        "INSERT INTO orders_by_customer VALUES ('buyer-1', %s, 'PAID', 14970, 'USD', now(), now(), 3)", (paid,)
    )
    books.connection.execute("INSERT INTO claims (claim_id, state) VALUES (gen_random_uuid(), 'void')")
    books.read_by("project-orders")
    return books


def _bytes(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()
