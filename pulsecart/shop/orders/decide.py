"""Decides the outcome of each order in a batch from rows that PostgreSQL holds under lock. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pulsecart.runtime.event import Identity
from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.shop.money import decimal_amount
from pulsecart.shop.orders.order import Line, Order, order_document, purchase_document
from pulsecart.shop.pricing.terms import StockRow, in_sale, is_open, unit_price

_encode = msgspec.json.Encoder().encode


class Intent(Struct, frozen=True, kw_only=True):
    """
    One order to write.

    Args:
        order: with or without prices; the decision sets the prices of a new order.
        epochs: the gate's epochs, one per line; empty when the gate refused.
        waiting: the order is PENDING in the table; otherwise it is new.
        refused: the reason for which the gate refused a waiting order; the order is canceled.
        caused_by: the event that triggered the reservation of a waiting order.
        cart: the cart that is ordered, at the version from which the lines were read; the order closes it.
        expected: unit prices that the buyer accepted, one per line, decimals; None or absent accepts any price.
    """

    order: Order
    epochs: tuple[int, ...] = ()
    key: Key | None = None
    waiting: bool = False
    refused: str | None = None
    caused_by: Identity | None = None
    cart: "CartRow | None" = None
    expected: tuple[float | None, ...] = ()


class CartRow(Struct, frozen=True):
    """A cart's version and state, as read before or under lock."""

    cart_id: str
    version: int
    is_open: bool = True


@dataclass(slots=True, kw_only=True)
class Facts:
    """
    Args:
        units: (product, buyer) → units counted against the product's limit.
        sale_units: (sale, buyer) → units counted against the sale's limit.
        sale_limits: sale → its limit, for sales to which waiting orders belong.
        waiting: order → its row, PENDING or not.
    """

    stock: dict[str, StockRow] = field(default_factory=dict)
    units: dict[tuple[str, str], int] = field(default_factory=dict)
    sale_units: dict[tuple[str, str], int] = field(default_factory=dict)
    sale_limits: dict[str, int] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    keys: dict[bytes, FirstReply] = field(default_factory=dict)
    waiting: dict[str, Order] = field(default_factory=dict)
    carts: dict[str, CartRow] = field(default_factory=dict)


class Held(Struct, frozen=True):
    """Stock is taken and the order is CONFIRMED; ``reply`` is the body stored for repeats, empty if it waited."""

    order: Order
    key: Key | None = None
    reply: bytes = b""
    cart_id: str = ""


class Dropped(Struct, frozen=True):
    """A waiting order is CANCELED; it never held stock."""

    order: Order


class Repeated(Struct, frozen=True):
    """The key was used before: its first reply is returned."""

    stored: FirstReply


class Denied(Struct, frozen=True):
    """
    Nothing is written.

    Args:
        reason: UNKNOWN_PRODUCT, KEY_REUSED, SALE_NOT_OPEN; VOID (``settle`` ended the claim), STALE (another epoch),
            NOT_WAITING, WON_BEFORE, CART_CHANGED (or ordered meanwhile), PRICE_CHANGED (not the accepted price),
            MIXED_CURRENCIES, SALE_LIMIT_REACHED; SOLD_OUT or LIMIT_REACHED although the gate admitted the claim.
        product_id: for the last two, the product whose gate was wrong and must be rebuilt.
        price: for PRICE_CHANGED, the current unit price, a decimal, and its currency.
    """

    reason: str
    product_id: str = ""
    price: tuple[float, str] | None = None


Outcome = Held | Dropped | Repeated | Denied


def decide(intents: Sequence[Intent], facts: Facts, now: datetime) -> list[Outcome]:
    """
    Args:
        facts: read under the stock rows' locks; updated with each decision.
        now: aware UTC; determines which sale price applies.

    Returns:
        One outcome per intent, in order; a refused intent does not affect the others.
    """
    outcomes = []
    for intent in intents:
        outcome = _decide_one(intent, facts, now)
        if isinstance(outcome, Held | Dropped):
            _remember(outcome, facts)
        outcomes.append(outcome)
    return outcomes


def _remember(outcome: Held | Dropped, facts: Facts) -> None:
    """Record for later intents of the batch: the key used, the cart closed, and that the order no longer waits."""
    order = outcome.order
    if order.order_id in facts.waiting:
        facts.waiting[order.order_id] = order
    elif isinstance(outcome, Held) and outcome.key:
        stored = FirstReply(outcome.key.payload_hash, 200, outcome.reply.decode(), order.order_id)
        facts.keys[outcome.key.scope] = stored
    if isinstance(outcome, Held) and outcome.cart_id:
        facts.carts[outcome.cart_id] = replace(facts.carts[outcome.cart_id], is_open=False)


def _decide_one(intent: Intent, facts: Facts, now: datetime) -> Outcome:
    if intent.waiting:
        order = facts.waiting.get(intent.order.order_id)
        if order is None or order.status != "PENDING":
            return Denied("NOT_WAITING")
        if intent.refused:
            return Dropped(replace(order, status="CANCELED", cancel_reason=intent.refused, version=order.version + 1))
    return _known(intent, facts) or _denied(intent, facts, now) or _hold(intent, facts, now)


def _known(intent: Intent, facts: Facts) -> Outcome | None:
    if (repeated := repeat(intent.key, facts.keys)) is not None:
        return repeated
    ended = facts.claims.get(intent.order.claim_id or "")
    if ended is not None:
        return Denied("VOID" if ended == "void" else "WON_BEFORE")
    return None


def repeat(key: Key | None, stored: Mapping[bytes, FirstReply]) -> Repeated | Denied | None:
    """Return the outcome of a request whose key has a first reply; None if the key is new or absent."""
    if key is None or (first := stored.get(key.scope)) is None:
        return None
    return Repeated(first) if first.answers(key) else Denied("KEY_REUSED")


def _denied(intent: Intent, facts: Facts, now: datetime) -> Denied | None:
    if intent.cart is not None and facts.carts.get(intent.cart.cart_id) != intent.cart:
        return Denied("CART_CHANGED")
    for line, epoch in zip(intent.order.lines, intent.epochs, strict=True):
        row = facts.stock.get(line.product_id)
        if row is None:
            return Denied("UNKNOWN_PRODUCT")
        if row.epoch != epoch:
            return Denied("STALE", line.product_id)
        if not intent.waiting and not is_open(row.sale, now):
            return Denied("SALE_NOT_OPEN", line.product_id)
        if not intent.waiting and row.currency != facts.stock[intent.order.lines[0].product_id].currency:
            return Denied("MIXED_CURRENCIES", line.product_id)
        counted = facts.units.get((line.product_id, intent.order.buyer_id), 0)
        if row.buyer_limit and counted + line.qty > row.buyer_limit:
            return Denied("LIMIT_REACHED", line.product_id)
        sale_id, sale_limit = _sale_limit(line, intent.waiting, facts, now)
        if sale_limit and facts.sale_units.get((sale_id, intent.order.buyer_id), 0) + line.qty > sale_limit:
            return Denied("SALE_LIMIT_REACHED", line.product_id)
        if row.available < line.qty:
            return Denied("SOLD_OUT", line.product_id)
    return None if intent.waiting else price_changed(intent.order, intent.expected, facts.stock, now)


def _sale_limit(line: Line, waiting: bool, facts: Facts, now: datetime) -> tuple[str, int]:
    """Return the sale of a line and its limit, 0 for none. A waiting line belongs to the sale that set its price."""
    sale = facts.stock[line.product_id].sale
    if not waiting:
        return (sale.sale_id, sale.buyer_limit) if sale is not None and in_sale(sale, now) else ("", 0)
    if sale is not None and sale.sale_id == line.sale_id:
        return sale.sale_id, sale.buyer_limit
    return line.sale_id or "", facts.sale_limits.get(line.sale_id or "", 0)


def _hold(intent: Intent, facts: Facts, now: datetime) -> Held:
    order = intent.order
    if intent.waiting:
        waiting = facts.waiting[order.order_id]
        order = replace(waiting, status="CONFIRMED", claim_id=order.claim_id, version=waiting.version + 1)
    else:
        order = priced(replace(order, status="CONFIRMED", version=2), facts.stock, now, intent.expected)
    for line in order.lines:
        row = facts.stock[line.product_id]
        facts.stock[line.product_id] = replace(row, available=row.available - line.qty)
        at = (line.product_id, order.buyer_id)
        facts.units[at] = facts.units.get(at, 0) + line.qty
        sale_id, sale_limit = _sale_limit(line, intent.waiting, facts, now)
        if sale_limit:
            facts.sale_limits[sale_id] = sale_limit
            at = (sale_id, order.buyer_id)
            facts.sale_units[at] = facts.sale_units.get(at, 0) + line.qty
    if intent.waiting:
        return Held(order)
    if intent.cart is not None:
        return Held(order, intent.key, _encode(order_document(order)), intent.cart.cart_id)
    return Held(order, intent.key, _encode(purchase_document(order)))


def price_changed(
    order: Order, expected: Sequence[float | None], stock: Mapping[str, StockRow], now: datetime
) -> Denied | None:
    """Return a PRICE_CHANGED denial with the current price when the buyer accepted another one; else None."""
    for line, accepted in zip_longest(order.lines, expected):
        row = stock[line.product_id]
        minor = unit_price(row, now)
        price = decimal_amount(minor, row.currency)
        if line.accepted_minor not in (None, minor) or accepted not in (None, price):
            return Denied("PRICE_CHANGED", line.product_id, (price, row.currency))
    return None


def priced(order: Order, stock: Mapping[str, StockRow], now: datetime, expected: Sequence[float | None] = ()) -> Order:
    """Return the order with current prices; where the buyer named a price, it equals the current one."""
    lines = []
    for line, accepted in zip_longest(order.lines, expected):
        row = stock[line.product_id]
        minor, named = unit_price(row, now), line.accepted_minor
        sale_id = row.sale.sale_id if row.sale is not None and in_sale(row.sale, now) else None
        accepted_minor = named if accepted is None else minor
        lines.append(replace(line, price_minor=minor, accepted_minor=accepted_minor, sale_id=sale_id))
    return replace(order, lines=tuple(lines), currency=stock[lines[0].product_id].currency)
