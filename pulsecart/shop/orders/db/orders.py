"""Stores orders in PostgreSQL: inserts, reads, status changes, and cancellations that return units to stock."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import Cause, is_id
from pulsecart.runtime.first_replies import Key
from pulsecart.runtime.problem import NotFound
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import history
from pulsecart.shop.orders.order import HOLDS_STOCK, Line, Order, stepped

SELECT = """
    SELECT o.order_id::text, o.buyer_id, o.status, o.currency, o.path, o.version, o.created_at, o.claim_id::text,
           o.cancel_reason, o.correlation_id, o.traceparent,
           (SELECT json_agg(json_build_array(i.product_id, i.qty, i.price_minor, NULL, i.sale_id) ORDER BY i.line)
            FROM order_items i WHERE i.order_id = o.order_id)
    FROM orders o WHERE o.order_id = ANY(%s::uuid[]) ORDER BY o.order_id
"""
INSERT = """
    INSERT INTO orders (updated_at, pay_by, order_id, buyer_id, status, total_minor, currency, path, claim_id,
                        version, correlation_id, traceparent, created_at)
    SELECT %s, CASE WHEN status = 'CONFIRMED' THEN %s::timestamptz END, order_id, buyer_id, status, total_minor,
           currency, path, claim_id, version, correlation_id, traceparent, created_at
    FROM json_to_recordset(%s::json) AS t (order_id uuid, buyer_id text, status text, total_minor bigint, currency text,
                                           path text, claim_id uuid, version bigint, correlation_id text,
                                           traceparent text, created_at timestamptz)
"""
INSERT_ITEMS = """
    INSERT INTO order_items (order_id, line, product_id, qty, price_minor, accepted_minor, sale_id)
    SELECT order_id, line, product_id, qty, price_minor, accepted_minor, sale_id
    FROM json_to_recordset(%s::json) AS t (order_id uuid, line int, product_id text, qty int, price_minor bigint,
                                           accepted_minor bigint, sale_id text)
"""
MOVE = """
    UPDATE orders SET status = t.status, version = t.version, claim_id = t.claim_id, cancel_reason = t.cancel_reason,
                      pay_by = CASE WHEN t.status = 'CONFIRMED' THEN %s::timestamptz END, updated_at = %s
    FROM json_to_recordset(%s::json)
         AS t (order_id uuid, status text, version bigint, claim_id uuid, cancel_reason text)
    WHERE orders.order_id = t.order_id AND orders.version = t.version - 1
"""
INSERT_KEYS = """
    INSERT INTO idempotency_keys (created_at, scope, payload_hash, order_id, status, body)
    SELECT %s, decode(scope, 'hex'), decode(payload_hash, 'hex'), order_id, status, body
    FROM json_to_recordset(%s::json) AS t (scope text, payload_hash text, order_id uuid, status int, body text)
"""
COLUMNS = ("order_id", "buyer_id", "status", "currency", "path", "version", "created_at", "claim_id")
LATER_COLUMNS = ("cancel_reason", "correlation_id", "traceparent")


def order_of(row: Sequence[Any]) -> Order:
    """Convert a row of ``SELECT``."""
    named = dict(zip(COLUMNS + LATER_COLUMNS, row, strict=False))
    return Order(**named, lines=tuple(Line(*line) for line in row[-1]))


def by_id(rows: Iterable[Sequence[Any]]) -> dict[str, Order]:
    """Convert rows of ``SELECT`` and return them by order id."""
    return {row[0]: order_of(row) for row in rows}


async def find(tx: Tx, order_id: str, *, lock: bool = False) -> Order | None:
    """Return the order, with its row locked if ``lock``; None when it does not exist or the id is malformed."""
    if not is_id(order_id):
        return None
    row = await tx.row(SELECT + (" FOR UPDATE OF o" if lock else ""), ([order_id],))
    return order_of(row) if row else None


async def require(tx: Tx, order_id: str, *, lock: bool = False) -> Order:
    """Return the order as ``find`` does, for a request about it; raise NotFound when there is none."""
    order = await find(tx, order_id, lock=lock)
    if order is None:
        raise NotFound("unknown-order", f"There is no order {order_id[:64]}.")
    return order


async def locked(tx: Tx, order_ids: Iterable[str]) -> dict[str, Order]:
    """Lock the existing orders, in id order, and return them by id."""
    return by_id(await tx.rows(SELECT + " FOR UPDATE OF o", (list(order_ids),)))


async def find_all(tx: Tx, order_ids: Sequence[str]) -> dict[str, Order]:
    """Return the existing orders by id."""
    return by_id(await tx.rows(SELECT, (list(order_ids),)))


def cause_of(order: Order) -> Cause:
    """Return the cause of an order created by a request."""
    return Cause(order.correlation_id, None, order.traceparent)


def insert(
    tx: Tx, new: Sequence[Order], pay_by: datetime | None = None, *, keys: Mapping[str, Key | None] | None = None
) -> None:
    """
    Write new orders and publish order.created, and order.confirmed for orders that already hold stock.

    Args:
        keys: order → the Idempotency-Key of its request.
    """
    if not new:
        return
    tx.later(INSERT, (tx.now, pay_by, as_json([_row(order) for order in new])))
    tx.later(INSERT_ITEMS, (as_json([_item(order, at) for order in new for at in range(len(order.lines))]),))
    for order in new:
        key = keys.get(order.order_id) if keys else None
        history.note(tx, order, history.buyer(order), key=key.text if key else None)
        emit_created(tx, order, pay_by)


def _row(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "buyer_id": order.buyer_id,
        "status": order.status,
        "total_minor": order.total_minor,
        "currency": order.currency,
        "path": order.path,
        "claim_id": order.claim_id,
        "version": order.version,
        "correlation_id": order.correlation_id,
        "traceparent": order.traceparent,
        "created_at": order.created_at,
    }


def _item(order: Order, at: int) -> dict[str, Any]:
    line = order.lines[at]
    row = {"order_id": order.order_id, "line": at + 1, "product_id": line.product_id, "qty": line.qty}
    row["price_minor"] = line.price_minor
    if line.accepted_minor is not None:
        row["accepted_minor"] = line.accepted_minor
    if line.sale_id is not None:
        row["sale_id"] = line.sale_id
    return row


def emit_created(tx: Tx, order: Order, pay_by: datetime | None) -> None:
    cause, key = cause_of(order), order.order_id
    tx.emit(announce.created(order), key=key, sequence=1, cause=cause, orderstatus=order.status.lower())
    if order.status == "CONFIRMED" and pay_by is not None:
        tx.emit(announce.confirmed(order, pay_by), key=key, sequence=2, cause=cause)


async def move(tx: Tx, moved: Sequence[Order], pay_by: datetime | None = None, *, actor: str | None = None) -> None:
    """
    Write the new status, version, claim and reason of orders whose rows this transaction has locked.

    Args:
        actor: recorded in the history; defaults to this operation.
    """
    if not moved:
        return
    for order in moved:
        history.note(tx, order, actor)
    rows = [
        {
            "order_id": order.order_id,
            "status": order.status,
            "version": order.version,
            "claim_id": order.claim_id,
            "cancel_reason": order.cancel_reason,
        }
        for order in moved
    ]
    await tx.execute(MOVE, (pay_by, tx.now, as_json(rows)))


def insert_keys(tx: Tx, replies: Sequence[tuple[Key, str, int, str]]) -> None:
    """Store first replies: (key, order id, status, body)."""
    if not replies:
        return
    rows = [
        {
            "scope": key.scope.hex(),
            "payload_hash": key.payload_hash.hex(),
            "order_id": order_id,
            "status": status,
            "body": body,
        }
        for key, order_id, status, body in sorted(replies, key=lambda reply: reply[0].scope)
    ]
    tx.later(INSERT_KEYS, (tx.now, as_json(rows)))


async def cancel(tx: Tx, order: Order, reason: str, *, actor: str | None = None) -> Order:
    """
    Cancel a locked order, return its units and the buyer's allowance, and publish the events.

    Args:
        actor: recorded in the history; defaults to this operation.

    Raises:
        Refused: the order is FULFILLED or CANCELED.
    """
    canceled = stepped(order, "CANCELED", reason)
    await move(tx, [canceled], actor=actor)
    if order.status in HOLDS_STOCK:
        await _give_back(tx, order)
    emit_canceled(tx, canceled, order.status)
    return canceled


def emit_canceled(tx: Tx, order: Order, previous: str, source: str | None = None) -> None:
    """Publish order.canceled; triggers filter on its ``previousstatus``: an order without stock was never charged."""
    message, cause = announce.canceled(order, previous), tx.cause if tx.cause.causation_id else cause_of(order)
    key, mark = order.order_id, previous.lower()
    tx.emit(message, key=key, sequence=order.version, cause=cause, source=source, previousstatus=mark)


async def _give_back(tx: Tx, order: Order) -> None:
    for line in sorted(order.lines, key=lambda line: line.product_id):
        row = await tx.row(
            """
            UPDATE stock SET available = available + %s, version = version + 1
            WHERE product_id = %s RETURNING available, version
            """,
            (line.qty, line.product_id),
        )
        await tx.execute(
            "UPDATE buyer_units SET units = units - %s WHERE product_id = %s AND buyer_id = %s",
            (line.qty, line.product_id, order.buyer_id),
        )
        if line.sale_id is not None:
            await tx.execute(
                "UPDATE sale_units SET units = units - %s WHERE product_id = %s AND buyer_id = %s AND sale_id = %s",
                (line.qty, line.product_id, order.buyer_id, line.sale_id),
            )
        available, version = row or (0, 0)
        adjusted = StockAdjusted(
            productId=line.product_id,
            delta=line.qty,
            available=available,
            reason="RELEASED",
            reservations=[str(order.claim_id)],
        )
        tx.emit(adjusted, key=line.product_id, sequence=version, stockreason="released")
