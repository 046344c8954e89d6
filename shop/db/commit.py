"""Group commit: one transaction for all orders that arrived together; two round trips, rows locked in one order."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncCursor
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from shop import announce
from shop.db import facts as reading
from shop.db import orders
from shop.db.pool import Busy, Database, Tx
from shop.decision import Dropped, Held, Intent, Outcome, StockRow, decide
from shop.messages import StockAdjusted
from shop.order import Order, purchase_document
from shop.problem import Unavailable

REPEATS = 4


class CommitUnknown(Unavailable):
    """The connection was lost while committing: ``settle`` finds out."""


async def commit(db: Database, intents: Sequence[Intent], pay_within: timedelta) -> list[Outcome]:
    """
    Decide and write a batch; one bad order fails alone.

    Raises:
        CommitUnknown: whether it committed cannot be known from here; the claims are left to ``settle``.
        Unavailable: nothing was committed.
    """
    for _ in range(REPEATS):
        try:
            return await _commit_once(db, intents, pay_within)
        except (UniqueViolation, Busy):
            continue  # a claim was voided, or a key used, between reading and writing: now it can be read
    raise Unavailable("busy", "The same orders are being written elsewhere; try again in a second.")


async def _commit_once(db: Database, intents: Sequence[Intent], pay_within: timedelta) -> list[Outcome]:
    writing = False
    try:
        async with db.transaction() as tx:
            facts = await reading.under_lock(tx.connection, intents)
            before = dict(facts.stock)
            outcomes = decide(intents, facts, tx.now)
            writing = True
            await _write(tx, outcomes, before, facts.stock, tx.now + pay_within)
        return outcomes
    except Busy:
        raise  # rolled back, that is known
    except Unavailable as error:
        if writing:
            raise CommitUnknown("outcome-unknown", "The order may or may not have been taken; ask again.") from error
        raise


async def _write(
    tx: Tx,
    outcomes: Sequence[Outcome],
    before: Mapping[str, StockRow],
    after: Mapping[str, StockRow],
    pay_by: datetime,
) -> None:
    held = [outcome for outcome in outcomes if isinstance(outcome, Held)]
    dropped = [outcome.order for outcome in outcomes if isinstance(outcome, Dropped)]
    async with tx.connection.pipeline():
        await _write_held(tx, held, pay_by)
        await orders.move(tx, dropped)
        for order in dropped:
            _tell(tx, order, announce.canceled(order, "PENDING"))
        guarded = await _take(tx, before, after)
        await tx.write_events()
    if guarded and guarded.rowcount != sum(row is not after[id] for id, row in before.items()):
        raise RuntimeError("stock rows changed under their own lock")


async def _write_held(tx: Tx, held: Sequence[Held], pay_by: datetime) -> None:
    if not held:
        return
    claims = sorted(str(outcome.order.claim_id) for outcome in held)
    await tx.execute("INSERT INTO claims (claim_id, state) SELECT unnest(%s::uuid[]), 'won'", (claims,))
    fresh = [outcome for outcome in held if outcome.order.path == "sync"]
    waited = [outcome.order for outcome in held if outcome.order.path != "sync"]
    await orders.insert(tx, [outcome.order for outcome in fresh], pay_by)
    await orders.insert_keys(
        tx, [(o.key, o.order.order_id, 200, purchase_reply(o.order).decode()) for o in fresh if o.key]
    )
    await orders.move(tx, waited, pay_by)
    for order in waited:
        _tell(tx, order, announce.confirmed(order, pay_by))
    await _count_units(tx, [outcome.order for outcome in held])


def purchase_reply(order: Order) -> bytes:
    """The body of a won purchase, byte for byte the one that is stored under its key."""
    return msgspec.json.encode(purchase_document(order))


def _tell(tx: Tx, order: Order, message: Any) -> None:
    tx.emit(message, key=order.order_id, sequence=order.version, cause=orders.cause_of(order))


async def _take(tx: Tx, before: Mapping[str, StockRow], after: Mapping[str, StockRow]) -> AsyncCursor[TupleRow] | None:
    taken = [(id, row.available - after[id].available, row.epoch) for id, row in before.items() if row is not after[id]]
    if not taken:
        return None
    for id, qty, _ in taken:
        adjusted = StockAdjusted(productId=id, delta=-qty, available=after[id].available, reason="RESERVED")
        tx.emit(adjusted, key=id, sequence=after[id].version + 1, stockreason="reserved")
    return await tx.execute(
        """
        UPDATE stock SET available = stock.available - t.qty, version = stock.version + 1
        FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS t (product_id, qty, epoch)
        WHERE stock.product_id = t.product_id AND stock.epoch = t.epoch AND stock.available >= t.qty
        """,
        ([id for id, _, _ in taken], [qty for _, qty, _ in taken], [epoch for _, _, epoch in taken]),
    )


async def _count_units(tx: Tx, held: Sequence[Order]) -> None:
    counted: dict[tuple[str, str], int] = {}
    for order in held:
        for line in order.lines:
            at = (line.product_id, order.buyer_id)
            counted[at] = counted.get(at, 0) + line.qty
    await tx.execute(
        """
        INSERT INTO buyer_units (product_id, buyer_id, units)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::int[])
        ON CONFLICT (product_id, buyer_id) DO UPDATE SET units = buyer_units.units + excluded.units
        """,
        ([product for product, _ in counted], [buyer for _, buyer in counted], list(counted.values())),
    )
