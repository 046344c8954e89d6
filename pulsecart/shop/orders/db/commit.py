"""Group commit: all waiting orders in one transaction, two round trips; rows are locked in one fixed order."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import UniqueViolation

from pulsecart.runtime.db.database import Busy, Database, Tx, as_json
from pulsecart.runtime.problem import Exhausted, Unavailable
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import facts as reading
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.decide import Dropped, Facts, Held, Intent, Outcome, decide
from pulsecart.shop.orders.order import Order
from pulsecart.shop.pricing.terms import StockRow

REPEATS = 4
RESERVE = "/pulsecart/reserve"  # the operation that takes the stock of waiting orders
RESERVES = "operation:reserve"
WIN = "INSERT INTO claims (claim_id, state) SELECT value::uuid, 'won' FROM json_array_elements_text(%s::json)"
# The guard against overselling: each row must still have this epoch and enough units.
TAKE = """
    UPDATE stock SET available = available - (value ->> 1)::int, version = version + 1
    FROM json_array_elements(%s::json)
    WHERE product_id = value ->> 0 AND epoch = (value ->> 2)::bigint AND available >= (value ->> 1)::int
"""
CLOSE_CARTS = """
    UPDATE carts SET status = 'ORDERED', order_id = (value ->> 1)::uuid, version = version + 1, updated_at = %s
    FROM json_array_elements(%s::json) WHERE cart_id = (value ->> 0)::uuid AND status = 'OPEN'
"""
COUNT_UNITS = """
    INSERT INTO buyer_units (product_id, buyer_id, units, limit_then)
    SELECT value ->> 0, value ->> 1, (value ->> 2)::int, (value ->> 3)::int FROM json_array_elements(%s::json)
    ON CONFLICT (product_id, buyer_id)
    DO UPDATE SET units = buyer_units.units + excluded.units, limit_then = excluded.limit_then
"""
COUNT_SALE_UNITS = """
    INSERT INTO sale_units (product_id, buyer_id, sale_id, units)
    SELECT value ->> 0, value ->> 1, value ->> 2, (value ->> 3)::int FROM json_array_elements(%s::json)
    ON CONFLICT (product_id, buyer_id, sale_id) DO UPDATE SET units = sale_units.units + excluded.units
"""


class CommitUnknown(Unavailable):
    """The connection was lost during the commit: ``settle`` determines the outcome."""


async def commit(db: Database, intents: Sequence[Intent], pay_within: timedelta) -> list[Outcome]:
    """
    Decide and write a batch; a refused order does not fail the others.

    Raises:
        CommitUnknown: the outcome of the commit is unknown; ``settle`` ends the claims.
        Unavailable: nothing was committed.
    """
    last: Exception | None = None
    for _ in range(REPEATS):
        try:
            return await _commit_once(db, intents, pay_within)
        except (UniqueViolation, Busy) as error:
            last = error  # a claim was voided, or a key used, between read and write: the next read finds it
    refused = Exhausted if isinstance(last, UniqueViolation) else Unavailable  # one order may cause the first
    raise refused("busy", "The same orders are being written by another request. Try again in a second.") from last


async def _commit_once(db: Database, intents: Sequence[Intent], pay_within: timedelta) -> list[Outcome]:
    writing = False
    try:
        async with db.transaction(pipelined=True) as tx:
            facts = await reading.under_lock(tx.connection, intents)
            before = dict(facts.stock)
            outcomes = decide(intents, facts, tx.now)
            writing = True
            await _write(tx, intents, outcomes, before, facts, tx.now + pay_within)
        return outcomes
    except Unavailable as error:
        if writing and not isinstance(error, Busy):
            raise CommitUnknown(
                "outcome-unknown",
                "It is not known whether the order was placed. Repeat the request with the same Idempotency-Key.",
            ) from error
        raise


async def _write(
    tx: Tx,
    intents: Sequence[Intent],
    outcomes: Sequence[Outcome],
    before: Mapping[str, StockRow],
    facts: Facts,
    pay_by: datetime,
) -> None:
    tx.causes = {intent.order.order_id: intent.caused_by for intent in intents if intent.caused_by}
    await _write_held(tx, [outcome for outcome in outcomes if isinstance(outcome, Held)], facts, pay_by)
    dropped = [outcome.order for outcome in outcomes if isinstance(outcome, Dropped)]
    await orders.move(tx, dropped, actor=RESERVES)
    for order in dropped:
        orders.emit_canceled(tx, order, "PENDING", RESERVE)
    waited = all(intent.waiting for intent in intents)
    _take(tx, before, facts.stock, RESERVE if waited else None)


async def _write_held(tx: Tx, held: Sequence[Held], facts: Facts, pay_by: datetime) -> None:
    if not held:
        return
    claims = sorted(str(outcome.order.claim_id) for outcome in held)
    tx.later(WIN, (as_json(claims),))
    fresh = [outcome for outcome in held if outcome.reply]
    waited = [outcome.order for outcome in held if not outcome.reply]
    orders.insert(tx, [o.order for o in fresh], pay_by, keys={o.order.order_id: o.key for o in fresh})
    orders.insert_keys(tx, [(o.key, o.order.order_id, 200, o.reply.decode()) for o in fresh if o.key])
    ordered = [(outcome.cart_id, outcome.order.order_id) for outcome in fresh if outcome.cart_id]
    if ordered:
        tx.later(CLOSE_CARTS, (tx.now, as_json(ordered)), exactly=len(ordered))
    await orders.move(tx, waited, pay_by, actor=RESERVES)
    for order in waited:
        _emit(tx, order, announce.confirmed(order, pay_by))
    _count_units(tx, [outcome.order for outcome in held], facts)


def _emit(tx: Tx, order: Order, message: Any) -> None:
    tx.emit(message, key=order.order_id, sequence=order.version, cause=orders.cause_of(order), source=RESERVE)


def _take(tx: Tx, before: Mapping[str, StockRow], after: Mapping[str, StockRow], source: str | None) -> None:
    taken = [(id, row.available - after[id].available, row.epoch) for id, row in before.items() if row is not after[id]]
    if not taken:
        return
    for id, qty, _ in taken:
        adjusted = StockAdjusted(productId=id, delta=-qty, available=after[id].available, reason="RESERVED")
        tx.emit(adjusted, key=id, sequence=after[id].version + 1, source=source, stockreason="reserved")
    tx.later(TAKE, (as_json(taken),), exactly=len(taken))


def _count_units(tx: Tx, held: Sequence[Order], facts: Facts) -> None:
    counted: dict[tuple[str, str], int] = {}
    in_sales: dict[tuple[str, str, str], int] = {}
    for order in held:
        for line in order.lines:
            at = (line.product_id, order.buyer_id)
            counted[at] = counted.get(at, 0) + line.qty
            if line.sale_id and facts.sale_limits.get(line.sale_id):
                of_sale = (*at, line.sale_id)
                in_sales[of_sale] = in_sales.get(of_sale, 0) + line.qty
    rows = [(*at, units, facts.stock[at[0]].buyer_limit) for at, units in counted.items()]
    tx.later(COUNT_UNITS, (as_json(rows),))
    if in_sales:
        tx.later(COUNT_SALE_UNITS, (as_json([(*of_sale, units) for of_sale, units in in_sales.items()]),))
