"""Stores stock in PostgreSQL: levels, recorded adjustments, the epoch, and ended claims."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pulsecart.runtime.db.database import Tx
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.sale_limit import SaleLimit


@dataclass(frozen=True, slots=True)
class Level:
    """One product's row; ``version`` is the sequence of its newest stock event."""

    product_id: str
    available: int
    buyer_limit: int
    epoch: int
    version: int


LEVEL = "SELECT product_id, available, buyer_limit, epoch, version FROM stock"


async def level(tx: Tx, product_id: str, *, lock: bool = False) -> Level | None:
    """Return the product's row, locked if ``lock``; None when it has no stock row."""
    row = await tx.row(f"{LEVEL} WHERE product_id = %s" + (" FOR UPDATE" if lock else ""), (product_id,))
    return Level(*row) if row else None


async def product_ids(tx: Tx) -> list[str]:
    """Return every product that has a stock row."""
    return [row[0] for row in await tx.rows("SELECT product_id FROM stock ORDER BY product_id")]


async def levels(tx: Tx, product_ids: Sequence[str]) -> dict[str, Level]:
    """Return the rows of those products that have one."""
    rows = await tx.rows(f"{LEVEL} WHERE product_id = ANY(%s)", (list(product_ids),))
    return {row[0]: Level(*row) for row in rows}


async def lock(tx: Tx, product_ids: Iterable[str]) -> None:
    """Lock the products' rows in the fixed order that every transaction uses, which prevents deadlocks."""
    await tx.execute(
        'SELECT 1 FROM stock WHERE product_id = ANY(%s) ORDER BY product_id COLLATE "C" FOR UPDATE',
        (list(product_ids),),
    )


async def lock_product(tx: Tx, product_id: str) -> bool:
    """Serialize manual changes, also without a stock row to lock; False for an unknown product."""
    return await tx.row("SELECT 1 FROM products WHERE product_id = %s FOR NO KEY UPDATE", (product_id,)) is not None


async def create(tx: Tx, product_id: str, units: int) -> Level:
    """Create the product's stock row as a recorded adjustment. The row must not exist."""
    await tx.execute("INSERT INTO stock (product_id, available, version) VALUES (%s, %s, 1)", (product_id, units))
    await _record(tx, Level(product_id, units, 0, 0, 1), units, "INITIAL")
    return Level(product_id, units, 0, 0, 1)


async def reset(tx: Tx, before: Level, units: int) -> Level:
    """Set a locked product's available units, as a recorded adjustment that the audit counts."""
    after = Level(before.product_id, units, before.buyer_limit, before.epoch, before.version + 1)
    await tx.execute(
        "UPDATE stock SET available = %s, version = %s WHERE product_id = %s",
        (after.available, after.version, after.product_id),
    )
    await _record(tx, after, units - before.available, "RESET")
    return after


async def _record(tx: Tx, after: Level, delta: int, reason: str) -> None:
    await tx.execute(
        "INSERT INTO inventory_adjustment (product_id, delta, reason, adjusted_at) VALUES (%s, %s, %s, %s)",
        (after.product_id, delta, reason, tx.now),
    )
    adjusted = StockAdjusted(productId=after.product_id, delta=delta, available=after.available, reason=reason)
    tx.emit(adjusted, key=after.product_id, sequence=after.version, stockreason=reason.lower())


async def raise_epoch(tx: Tx, locked: Level) -> int:
    """Raise the epoch and return it: claims of earlier epochs can no longer commit."""
    await tx.execute("UPDATE stock SET epoch = %s WHERE product_id = %s", (locked.epoch + 1, locked.product_id))
    return locked.epoch + 1


async def buyers(tx: Tx, product_id: str) -> list[tuple[str, int]]:
    """Return (buyer, units counted against the limit); 0 for a buyer whose units were returned."""
    rows = await tx.rows("SELECT buyer_id, units FROM buyer_units WHERE product_id = %s", (product_id,))
    return [(buyer_id, units) for buyer_id, units in rows]


async def sale_limit(tx: Tx, product_id: str) -> SaleLimit | None:
    """Return the limit of the locked product's open or planned sale; None without such a sale or limit."""
    row = await tx.row(
        "SELECT sale_id, buyer_limit, ends_at FROM flash_sales"
        " WHERE product_id = %s AND status <> 'ENDED' AND ends_at > %s AND buyer_limit > 0",
        (product_id, tx.now),
    )
    if row is None:
        return None
    rows = await tx.rows(
        "SELECT buyer_id, units FROM sale_units WHERE product_id = %s AND sale_id = %s", (product_id, row[0])
    )
    sale_id, units, ends_at = row
    return SaleLimit(sale_id, units, ends_at, tuple((buyer_id, count) for buyer_id, count in rows))


async def releasable(tx: Tx, product_id: str) -> list[tuple[str, int, str, str]]:
    """Return (claim, units, buyer, sale or an empty string) of orders whose units may still be returned."""
    rows = await tx.rows(
        """
        SELECT o.claim_id::text, i.qty, o.buyer_id, coalesce(i.sale_id, '')
        FROM orders o JOIN order_items i USING (order_id)
        WHERE i.product_id = %s AND o.status IN ('CONFIRMED', 'PAID')
        """,
        (product_id,),
    )
    return [(claim_id, qty, buyer_id, sale_id) for claim_id, qty, buyer_id, sale_id in rows]


async def void_claims(tx: Tx, claim_ids: Sequence[str]) -> dict[str, str]:
    """
    End claims whose process stopped, by inserting their rows before an order can.

    Waits for a transaction that is writing the same claim; the outcome of that transaction holds.

    Returns:
        claim → ``void``, or ``won`` when an order had committed it.
    """
    ordered = sorted(claim_ids)
    await tx.execute(
        "INSERT INTO claims (claim_id, state) SELECT unnest(%s::uuid[]), 'void' ON CONFLICT DO NOTHING", (ordered,)
    )
    rows = await tx.rows("SELECT claim_id::text, state FROM claims WHERE claim_id = ANY(%s::uuid[])", (ordered,))
    return dict(rows)
