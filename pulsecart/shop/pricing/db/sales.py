"""Stores flash sales in PostgreSQL and publishes each step with the next version of the sale calendar."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg.errors import UniqueViolation

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.problem import Refused
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled, FlashSaleStarted

LOCK_WAIT = "100ms"  # a concurrent price change is refused at once
STOCK_LOCK_WAIT = "2s"  # during a sale, all orders of the product contend for its stock row
WARM_BEFORE = timedelta(seconds=30)
PAGE = 100
SELECT = """
    SELECT f.sale_id, f.product_id, f.price_minor, p.currency, f.starts_at, f.ends_at, f.status, f.version,
           f.buyer_limit
    FROM flash_sales f JOIN products p USING (product_id)
"""


class Sale(Struct, frozen=True, kw_only=True):
    """
    ``status``: SCHEDULED, STARTED, ENDED; ``version``: the sequence of its newest event, one for each change.

    Args:
        buyer_limit: units that one buyer may have in this sale, in addition to the product's own limit; 0 for none.
    """

    sale_id: str
    product_id: str
    price_minor: int
    currency: str
    starts_at: datetime
    ends_at: datetime
    status: str = "SCHEDULED"
    version: int = 0
    buyer_limit: int = 0


async def find(tx: Tx, sale_id: str) -> Sale | None:
    row = await tx.row(f"{SELECT} WHERE sale_id = %s", (sale_id,))
    return _sale(row) if row else None


async def newest(tx: Tx) -> list[Sale]:
    """Return at most PAGE sales, latest start first."""
    return [_sale(row) for row in await tx.rows(f"{SELECT} ORDER BY f.starts_at DESC, f.sale_id LIMIT %s", (PAGE,))]


async def lock(tx: Tx, sale_id: str) -> Sale | None:
    """
    Return the sale with its row locked.

    Raises:
        Busy: another transaction holds the row for longer than LOCK_WAIT.
    """
    await tx.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    row = await tx.row(f"{SELECT} WHERE sale_id = %s FOR UPDATE OF f", (sale_id,))
    return _sale(row) if row else None


async def schedule(tx: Tx, planned: Sale) -> Sale:
    """
    Insert a new sale and publish its first version.

    Raises:
        Refused: the product has another sale that has not ended.
    """
    sale = await _numbered(tx, planned)
    try:
        await tx.execute(
            "INSERT INTO flash_sales (sale_id, product_id, price_minor, starts_at, ends_at, version, buyer_limit)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (*_planned(sale), sale.version, sale.buyer_limit),
        )
    except UniqueViolation:
        raise Refused(
            "sale-exists", "This product already has an open or scheduled sale. End or change that sale."
        ) from None
    tx.emit(FlashSaleScheduled(**_about(sale)), key=sale.sale_id, sequence=sale.version)
    return sale


async def change(tx: Tx, before: Sale, price_minor: int, ends_at: datetime) -> Sale:
    """
    Set another price or end for a locked sale. The gate of a limited sale stores its end: if that changes, the gate's
    epoch becomes stale and the caller rebuilds the gate after the commit.

    Raises:
        Busy: the product's stock row stayed locked.
    """
    if ends_at != before.ends_at:
        await _end_gate(tx, before)
    after = await _numbered(tx, replace(before, price_minor=price_minor, ends_at=ends_at))
    message = FlashSaleChanged if before.status == "STARTED" else FlashSaleScheduled
    tx.emit(message(**_about(after)), key=after.sale_id, sequence=after.version)
    return await _write(tx, after)


async def end(tx: Tx, before: Sale) -> Sale:
    """
    End the locked sale now, whether or not it began. If it has a limit, which the gate counts against, the gate's
    epoch becomes stale and the caller rebuilds the gate after the commit.

    Raises:
        Busy: the product's stock row stayed locked.
    """
    await _end_gate(tx, before)
    at = max(min(tx.now, before.ends_at), before.starts_at + timedelta(microseconds=1))
    after = await _numbered(tx, replace(before, status="ENDED", ends_at=at))
    tx.emit(FlashSaleEnded(saleId=after.sale_id, productId=after.product_id), key=after.sale_id, sequence=after.version)
    return await _write(tx, after)


async def next_due(tx: Tx, without: Collection[str] = ()) -> datetime | None:
    """Return when the next sale, except ``without``, must be warmed, started or ended; None when there is none."""
    row = await tx.row(
        """
        SELECT min(due) FROM (
            SELECT sale_id, CASE WHEN warmed_at IS NULL THEN starts_at - %s ELSE starts_at END AS due
            FROM flash_sales WHERE status = 'SCHEDULED'
            UNION ALL SELECT sale_id, ends_at FROM flash_sales WHERE status = 'STARTED'
        ) AS all_due WHERE sale_id <> ALL(%s)
        """,
        (WARM_BEFORE, list(without)),
    )
    return row[0] if row else None


async def due(tx: Tx) -> list[str]:
    """Return the sales due to start or end: starts first, each kind ordered by time."""
    rows = await tx.rows(
        """
        SELECT sale_id FROM flash_sales
        WHERE status = 'SCHEDULED' AND starts_at <= %(now)s OR status = 'STARTED' AND ends_at <= %(now)s
        ORDER BY status, CASE status WHEN 'SCHEDULED' THEN starts_at ELSE ends_at END, sale_id
        """,
        {"now": tx.now},
    )
    return [row[0] for row in rows]


async def turn(tx: Tx, sale_id: str) -> Sale | None:
    """
    Start or end a due sale; a sale whose end has passed is only ended.

    Returns:
        The sale after the step; None when another process holds it or has ended it.
    """
    row = await tx.row(f"{SELECT} WHERE sale_id = %s AND status <> 'ENDED' FOR UPDATE OF f SKIP LOCKED", (sale_id,))
    if row is None:
        return None
    sale = _sale(row)
    if sale.ends_at <= tx.now:
        return await end(tx, sale)
    if sale.status == "SCHEDULED" and sale.starts_at <= tx.now:
        started = await _numbered(tx, replace(sale, status="STARTED"))
        tx.emit(FlashSaleStarted(**_about(started)), key=sale_id, sequence=started.version)
        return await _write(tx, started)
    return sale


async def take_to_warm(tx: Tx) -> list[str]:
    """Mark sales that begin within WARM_BEFORE as warmed and return their products."""
    rows = await tx.rows(
        "UPDATE flash_sales SET warmed_at = %s WHERE status = 'SCHEDULED' AND warmed_at IS NULL AND starts_at <= %s"
        " RETURNING product_id",
        (tx.now, tx.now + WARM_BEFORE),
    )
    return [row[0] for row in rows]


async def first_asked(tx: Tx, most: int) -> list[str]:
    """Return the products likely to be requested first: those with a sale, then the newest."""
    rows = await tx.rows(
        """
        SELECT p.product_id FROM products p
        LEFT JOIN flash_sales f ON f.product_id = p.product_id AND f.status <> 'ENDED'
        WHERE p.deleted_at IS NULL ORDER BY f.sale_id IS NULL, p.created_at DESC LIMIT %s
        """,
        (most,),
    )
    return [row[0] for row in rows]


def sale_document(sale: Sale) -> dict[str, Any]:
    """Return a sale as the API shows it."""
    return {
        "saleId": sale.sale_id,
        "productId": sale.product_id,
        "price": decimal_amount(sale.price_minor, sale.currency),
        "currency": sale.currency,
        "startsAt": rfc3339(sale.starts_at),
        "endsAt": rfc3339(sale.ends_at),
        "buyerLimit": sale.buyer_limit,
        "status": sale.status,
        "version": sale.version,
    }


async def _end_gate(tx: Tx, sale: Sale) -> None:
    """Call before writing the sale's row: a transaction that schedules a sale locks the stock row first."""
    if not sale.buyer_limit:
        return
    await tx.execute(f"SET LOCAL lock_timeout = '{STOCK_LOCK_WAIT}'")
    level = await stock.level(tx, sale.product_id, lock=True)
    if level is not None:
        await stock.raise_epoch(tx, level)


def _planned(sale: Sale) -> tuple[Any, ...]:
    return sale.sale_id, sale.product_id, sale.price_minor, sale.starts_at, sale.ends_at


def _about(sale: Sale) -> dict[str, Any]:
    return {
        name: value for name, value in sale_document(sale).items() if name not in ("buyerLimit", "status", "version")
    }


async def _numbered(tx: Tx, sale: Sale) -> Sale:
    row = await tx.row("UPDATE sale_calendar SET version = version + 1 RETURNING version")
    return replace(sale, version=row[0] if row else 1)


async def _write(tx: Tx, sale: Sale) -> Sale:
    await tx.execute(
        "UPDATE flash_sales SET price_minor = %s, ends_at = %s, status = %s, version = %s WHERE sale_id = %s",
        (sale.price_minor, sale.ends_at, sale.status, sale.version, sale.sale_id),
    )
    return sale


def _sale(row: Sequence[Any]) -> Sale:
    return Sale(**dict(zip(Sale.__struct_fields__, row, strict=True)))
