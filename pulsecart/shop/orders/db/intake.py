"""Writes PENDING orders, many in one transaction; ``reserve`` takes their stock later."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.errors import UniqueViolation

from pulsecart.runtime.db.database import Busy, Database
from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.runtime.problem import Exhausted, Unavailable
from pulsecart.shop.orders.db import facts, orders
from pulsecart.shop.orders.db.commit import REPEATS
from pulsecart.shop.orders.decide import Denied, Held, Outcome, price_changed, priced, repeat
from pulsecart.shop.orders.order import Order
from pulsecart.shop.pricing.terms import StockRow, is_open


@dataclass(frozen=True, slots=True)
class Request:
    """
    ``reply`` builds the status and body that are stored under ``key`` and returned for repeats; ``expected`` are the
    unit prices that the buyer accepted, as in ``pulsecart.shop.orders.decide.Intent``.
    """

    order: Order
    key: Key | None
    reply: Callable[[Order], tuple[int, str]]
    expected: tuple[float | None, ...] = ()


async def accept(db: Database, requests: Sequence[Request]) -> list[Outcome]:
    """
    Write PENDING orders; ``Held`` contains the order as written (no stock is held yet).

    Raises:
        Unavailable: PostgreSQL cannot be reached; a request with a key can be repeated and gets its first reply.
    """
    last: Exception | None = None
    for _ in range(REPEATS):
        try:
            return await _accept_once(db, requests)
        except (UniqueViolation, Busy) as error:
            last = error  # another process used a key between read and write: the next read finds it
    refused = Exhausted if isinstance(last, UniqueViolation) else Unavailable  # one order may cause the first
    raise refused("busy", "The same orders are being written by another request. Try again in a second.") from last


async def _accept_once(db: Database, requests: Sequence[Request]) -> list[Outcome]:
    products = sorted({line.product_id for request in requests for line in request.order.lines})
    async with db.transaction(pipelined=True) as tx:
        stock = await facts.stock_rows(tx.connection, products)
        stored = await facts.stored_keys(tx.connection, [request.key.scope for request in requests if request.key])
        outcomes: list[Outcome] = []
        for request in requests:
            outcome = _decide(request, stock, stored, tx.now)
            outcomes.append(outcome)
            if isinstance(outcome, Held) and request.key:
                stored[request.key.scope] = _as_stored(request.key, outcome.order, request)
        taken = [(o.order, r) for o, r in zip(outcomes, requests, strict=True) if isinstance(o, Held)]
        orders.insert(tx, [order for order, _ in taken], keys={order.order_id: r.key for order, r in taken})
        orders.insert_keys(tx, [(r.key, o.order_id, *r.reply(o)) for o, r in taken if r.key])
    return outcomes


def _as_stored(key: Key, order: Order, request: Request) -> FirstReply:
    status, body = request.reply(order)
    return FirstReply(key.payload_hash, status, body, order.order_id)


def _decide(request: Request, stock: dict[str, StockRow], stored: dict[bytes, FirstReply], now: datetime) -> Outcome:
    if (repeated := repeat(request.key, stored)) is not None:
        return repeated
    for line in request.order.lines:
        row = stock.get(line.product_id)
        if row is None:
            return Denied("UNKNOWN_PRODUCT", line.product_id)
        if not is_open(row.sale, now):
            return Denied("SALE_NOT_OPEN", line.product_id)
    if len({stock[line.product_id].currency for line in request.order.lines}) > 1:
        return Denied("MIXED_CURRENCIES")
    changed = price_changed(request.order, request.expected, stock, now)
    if changed is not None:
        return changed
    return Held(priced(request.order, stock, now, request.expected), request.key)
