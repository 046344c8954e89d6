"""Stores flash sales in PostgreSQL and publishes each step with the next version of the sale calendar."""

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec.structs import asdict, replace
from psycopg.errors import UniqueViolation

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.problem import Refused
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.pricing.db.rows import SELECT, sale_of
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled, FlashSaleStarted
from pulsecart.shop.pricing.sale import Sale, sale_document

LOCK_WAIT = "100ms"  # a concurrent price change is refused at once
STOCK_LOCK_WAIT = "2s"  # during a sale, all orders of the product contend for its stock row
WARM_BEFORE = timedelta(seconds=30)
PAGE = 100


async def find(tx: Tx, sale_id: str) -> Sale | None:
    row = await tx.row(f"{SELECT} WHERE sale_id = %s", (sale_id,))
    return sale_of(row) if row else None


async def newest(tx: Tx) -> list[Sale]:
    """Return at most PAGE sales, latest start first."""
    return [sale_of(row) for row in await tx.rows(f"{SELECT} ORDER BY f.starts_at DESC, f.sale_id LIMIT %s", (PAGE,))]


async def lock(tx: Tx, sale_id: str) -> Sale | None:
    """
    Return the sale with its row locked.

    Raises:
        Busy: another transaction holds the row for longer than LOCK_WAIT.
    """
    await tx.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    row = await tx.row(f"{SELECT} WHERE sale_id = %s FOR UPDATE OF f", (sale_id,))
    return sale_of(row) if row else None


async def schedule(tx: Tx, planned: Sale) -> Sale:
    """
    Insert a new sale, planned or started, and publish its first version.

    Raises:
        Refused: the product has another sale that has not ended.
    """
    sale = await _numbered(tx, planned)
    try:
        await tx.execute(
            """
            INSERT INTO flash_sales (sale_id, product_id, price_minor, starts_at, ends_at, status, version, buyer_limit)
            VALUES (%(sale_id)s, %(product_id)s, %(price_minor)s, %(starts_at)s, %(ends_at)s, %(status)s, %(version)s,
                    %(buyer_limit)s)
            """,
            asdict(sale),
        )
    except UniqueViolation:
        raise Refused(
            "sale-exists", "This product already has an open or scheduled sale. End or change that sale."
        ) from None
    message = FlashSaleStarted if sale.status == "STARTED" else FlashSaleScheduled
    tx.emit(message(**sale_document(sale)), key=sale.sale_id, sequence=sale.version)
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
    tx.emit(message(**sale_document(after)), key=after.sale_id, sequence=after.version)
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
    sale = sale_of(row)
    if sale.ends_at <= tx.now:
        return await end(tx, sale)
    if sale.status == "SCHEDULED" and sale.starts_at <= tx.now:
        started = await _numbered(tx, replace(sale, status="STARTED"))
        tx.emit(FlashSaleStarted(**sale_document(started)), key=sale_id, sequence=started.version)
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


async def _end_gate(tx: Tx, sale: Sale) -> None:
    """Call before writing the sale's row: a transaction that schedules a sale locks the stock row first."""
    if not sale.buyer_limit:
        return
    await tx.execute(f"SET LOCAL lock_timeout = '{STOCK_LOCK_WAIT}'")
    level = await stock.level(tx, sale.product_id, lock=True)
    if level is not None:
        await stock.raise_epoch(tx, level)


async def _numbered(tx: Tx, sale: Sale) -> Sale:
    row = await tx.row("UPDATE sale_calendar SET version = version + 1 RETURNING version")
    return replace(sale, version=row[0] if row else 1)


async def _write(tx: Tx, sale: Sale) -> Sale:
    await tx.execute(
        "UPDATE flash_sales SET price_minor = %s, ends_at = %s, status = %s, version = %s WHERE sale_id = %s",
        (sale.price_minor, sale.ends_at, sale.status, sale.version, sale.sale_id),
    )
    return sale
