"""Orders in PostgreSQL: rows in, rows out, and the steps that give their units back."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shop import announce
from shop.db.pool import Tx
from shop.decision import Key
from shop.messages import Cause, StockAdjusted
from shop.order import HOLDS_STOCK, Line, Order, may_become, refuse_step

SELECT = """
    SELECT o.order_id::text, o.buyer_id, o.status, o.currency, o.path, o.version, o.created_at, o.claim_id::text,
           o.cancel_reason, o.correlation_id, o.traceparent,
           (SELECT json_agg(json_build_array(i.product_id, i.qty, i.price_minor) ORDER BY i.line)
            FROM order_items i WHERE i.order_id = o.order_id)
    FROM orders o WHERE o.order_id = ANY(%s::uuid[]) ORDER BY o.order_id
"""
COLUMNS = ("order_id", "buyer_id", "status", "currency", "path", "version", "created_at", "claim_id")
MORE_COLUMNS = ("cancel_reason", "correlation_id", "traceparent")


def order_of(row: Sequence[Any]) -> Order:
    """A row of ``SELECT``."""
    named = dict(zip(COLUMNS + MORE_COLUMNS, row, strict=False))
    return Order(**named, lines=tuple(Line(*line) for line in row[-1]))


def by_id(rows: Iterable[Sequence[Any]]) -> dict[str, Order]:
    """Rows of ``SELECT``, by order id."""
    return {row[0]: order_of(row) for row in rows}


async def find(tx: Tx, order_id: str, *, lock: bool = False) -> Order | None:
    """The order, its row locked where asked; None where there is none."""
    row = await tx.row(SELECT + (" FOR UPDATE OF o" if lock else ""), ([order_id],))
    return order_of(row) if row else None


def cause_of(order: Order) -> Cause:
    """Why an order that a request made exists."""
    return Cause(order.correlation_id, None, order.traceparent)


async def insert(tx: Tx, new: Sequence[Order], pay_by: datetime | None = None) -> None:
    """Write new orders, and tell of them: created, and confirmed where they hold stock already."""
    if not new:
        return
    await tx.execute(
        """
        INSERT INTO orders (order_id, buyer_id, status, total_minor, currency, path, claim_id, version, pay_by,
                            correlation_id, traceparent, created_at, updated_at)
        SELECT *, %s, %s FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
                                     %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[])
        """,
        (tx.now, tx.now, *_columns([_row(order, pay_by) for order in new])),
    )
    items = [
        (order.order_id, at, line.product_id, line.qty, line.price_minor)
        for order in new
        for at, line in enumerate(order.lines, 1)
    ]
    await tx.execute(
        """
        INSERT INTO order_items (order_id, line, product_id, qty, price_minor)
        SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[], %s::bigint[])
        """,
        _columns(items),
    )
    for order in new:
        _tell_created(tx, order, pay_by)


def _row(order: Order, pay_by: datetime | None) -> tuple[Any, ...]:
    due = pay_by if order.status == "CONFIRMED" else None
    head = (order.order_id, order.buyer_id, order.status, order.total_minor, order.currency, order.path)
    return (*head, order.claim_id, order.version, due, order.correlation_id, order.traceparent)


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


def _tell_created(tx: Tx, order: Order, pay_by: datetime | None) -> None:
    cause, key = cause_of(order), order.order_id
    tx.emit(announce.created(order), key=key, sequence=1, cause=cause, orderstatus=order.status.lower())
    if order.status == "CONFIRMED" and pay_by is not None:
        tx.emit(announce.confirmed(order, pay_by), key=key, sequence=2, cause=cause)


async def move(tx: Tx, moved: Sequence[Order], pay_by: datetime | None = None) -> None:
    """Write the new status, version, claim and reason of orders whose rows this transaction has locked."""
    if not moved:
        return
    rows = [(o.order_id, o.status, o.version, o.claim_id, o.cancel_reason, _due(o, pay_by)) for o in moved]
    await tx.execute(
        """
        UPDATE orders SET status = t.status, version = t.version, claim_id = t.claim_id, pay_by = t.pay_by,
                          cancel_reason = t.cancel_reason, updated_at = %s
        FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::uuid[], %s::text[], %s::timestamptz[])
             AS t (order_id, status, version, claim_id, cancel_reason, pay_by)
        WHERE orders.order_id = t.order_id AND orders.version = t.version - 1
        """,
        (tx.now, *_columns(rows)),
    )


def _due(order: Order, pay_by: datetime | None) -> datetime | None:
    return pay_by if order.status == "CONFIRMED" else None


async def insert_keys(tx: Tx, replies: Sequence[tuple[Key, str, int, str]]) -> None:
    """Keep first replies: (key, order id, status, body)."""
    if not replies:
        return
    rows = sorted((key.scope, key.payload_hash, order_id, status, body) for key, order_id, status, body in replies)
    await tx.execute(
        """
        INSERT INTO idempotency_keys (scope, payload_hash, order_id, status, body, created_at)
        SELECT *, %s FROM unnest(%s::bytea[], %s::bytea[], %s::uuid[], %s::int[], %s::text[])
        """,
        (tx.now, *_columns(rows)),
    )


async def step(tx: Tx, order: Order, status: str) -> Order:
    """
    Move a locked order on.

    Raises:
        Refused: the state machine lacks this step.
    """
    if not may_become(order.status, status):
        raise refuse_step(order.order_id, order.status, status)
    moved = _with(order, status, None)
    await move(tx, [moved])
    return moved


async def cancel(tx: Tx, order: Order, reason: str) -> Order:
    """
    Cancel a locked order: its units and the buyer's allowance go back, and the log says so.

    Raises:
        Refused: it is FULFILLED or CANCELED.
    """
    if not may_become(order.status, "CANCELED"):
        raise refuse_step(order.order_id, order.status, "CANCELED")
    canceled = _with(order, "CANCELED", reason)
    await move(tx, [canceled])
    if order.status in HOLDS_STOCK:
        await _give_back(tx, order)
    tx.emit(announce.canceled(canceled, order.status), key=order.order_id, sequence=canceled.version)
    return canceled


def _with(order: Order, status: str, reason: str | None) -> Order:
    return replace(order, status=status, version=order.version + 1, cancel_reason=reason)


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
        available, version = row or (0, 0)
        adjusted = StockAdjusted(
            productId=line.product_id,
            delta=line.qty,
            available=available,
            reason="RELEASED",
            reservations=[str(order.claim_id)],
        )
        tx.emit(adjusted, key=line.product_id, sequence=version, stockreason="released")
