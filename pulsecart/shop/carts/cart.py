"""Models a cart: the chosen items at the prices shown to the buyer, compared with the current catalogue and stock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.problem import Refused, Unprocessable
from pulsecart.shop.money import decimal_amount, wire_id
from pulsecart.shop.orders.decide import CartRow
from pulsecart.shop.orders.order import Line
from pulsecart.shop.pricing.terms import SaleRow, StockRow, is_open, limit_per_order, unit_price

QTY_MAX = 1000
LINES_MAX = 20


class Item(Struct, frozen=True):
    """``seen_minor`` is the unit price that the buyer saw when the item was put in the cart."""

    product_id: str
    qty: int
    seen_minor: int
    currency: str
    added_at: datetime


class Cart(Struct, frozen=True, kw_only=True):
    """``buyer_id`` is None for an anonymous cart, open to any client with its id; ``status``: OPEN, ORDERED, MERGED."""

    cart_id: str
    buyer_id: str | None
    status: str
    version: int
    order_id: str | None
    expires_at: datetime
    items: tuple[Item, ...] = ()

    @property
    def row(self) -> CartRow:
        """The values that the order's transaction compares with the locked cart."""
        return CartRow(self.cart_id, self.version, self.status == "OPEN")


class Offer(Struct, frozen=True):
    """A product with its current name, stock and terms."""

    name: str
    stock: StockRow


Offers = Mapping[str, Offer]


def put(items: Sequence[Item], item: Item) -> tuple[Item, ...]:
    """
    Set the quantity of one item; 0 removes it. An item already in the cart keeps the price at which it was first shown.

    Raises:
        Refused: the item would be the twenty-first line.
        Unprocessable: the item is sold in another currency.
    """
    others = [other for other in items if other.product_id != item.product_id]
    if item.qty == 0:
        return tuple(others)
    if len(others) >= LINES_MAX:
        raise Refused(
            "cart-full", f"A cart has {LINES_MAX} lines at most. Remove a line, or order this product separately."
        )
    if any(other.currency != item.currency for other in others):
        raise Unprocessable("mixed-currencies", "An order has one currency. Order these products separately.")
    if len(others) == len(items):
        return (*items, item)
    return tuple(replace(old, qty=item.qty) if old.product_id == item.product_id else old for old in items)


def merged(mine: Sequence[Item], brought: Sequence[Item], limits: Mapping[str, int]) -> tuple[Item, ...]:
    """
    Merge the items of two carts. Quantities add up, to at most QTY_MAX and the product's limit per buyer. Where both
    carts have a product, the price in ``brought`` is kept: the buyer saw it last.

    Args:
        limits: product → units that one buyer may have; 0 means no limit.

    Raises:
        Refused, Unprocessable: as in ``put``; nothing is merged then.
    """
    result = tuple(mine)
    for item in brought:
        there = next((old for old in result if old.product_id == item.product_id), None)
        most = min(limits.get(item.product_id) or QTY_MAX, QTY_MAX)
        qty = min(item.qty + (there.qty if there else 0), most)
        result = put(result, replace(item, qty=qty))
        result = tuple(replace(i, seen_minor=item.seen_minor) if i.product_id == item.product_id else i for i in result)
    return result


def order_lines(cart: Cart, accepted: Mapping[str, int]) -> tuple[Line, ...]:
    """Return the cart's lines at the accepted prices, else at the prices seen."""
    return tuple(
        Line(item.product_id, item.qty, accepted_minor=accepted.get(item.product_id, item.seen_minor))
        for item in cart.items
    )


def differences(lines: Sequence[Line], offers: Offers, now: datetime) -> list[dict[str, Any]]:
    """Return the problems that prevent ordering these lines: each names its line and a reason."""
    found: list[dict[str, Any]] = []
    for line in lines:
        offer, named = offers.get(line.product_id), {"productId": wire_id(line.product_id)}
        if offer is None:
            found.append({**named, "reason": "UNKNOWN_PRODUCT"})
            continue
        if begins := _begins(offer.stock.sale, now):
            found.append({**named, "reason": "SALE_NOT_OPEN", **begins})
        price = unit_price(offer.stock, now)
        if line.accepted_minor not in (None, price):
            seen, currency = line.accepted_minor or 0, offer.stock.currency
            amounts = {"accepted": decimal_amount(seen, currency), "price": decimal_amount(price, currency)}
            found.append({**named, "reason": "PRICE_CHANGED", **amounts, "currency": currency})
        if offer.stock.available < line.qty:
            what = {"qty": line.qty, "available": offer.stock.available}
            found.append({**named, "reason": "SHORT_STOCK", **what})
    return found


def refuse_differences(found: Sequence[dict[str, Any]]) -> Refused:
    """Return the problem for a cart that differs from what the buyer saw; it names the lines."""
    reasons = {line["reason"] for line in found}
    if "SALE_NOT_OPEN" in reasons:
        detail = (
            "The sale of these products has not started; nothing was ordered. Wait for saleStartsAt, or remove them."
        )
        return Refused("sale-not-open", detail, lines=list(found))
    if "PRICE_CHANGED" in reasons:
        detail = "Prices have changed; nothing was ordered. Accept the new prices in accept, or remove the lines."
        return Refused("price-changed", detail, lines=list(found))
    if "SHORT_STOCK" in reasons:
        detail = (
            "There are not enough units for these lines; nothing was ordered. Lower the quantities, or remove them."
        )
        return Refused("short-stock", detail, lines=list(found))
    return Refused("product-gone", "These products are no longer sold. Remove them from the cart.", lines=list(found))


def cart_document(cart: Cart, offers: Offers, now: datetime) -> dict[str, Any]:
    """Return the cart as the buyer sees it: each line compared with catalogue and stock."""
    lines = [_line(item, offers.get(item.product_id), now) for item in cart.items]
    document: dict[str, Any] = {
        "cartId": cart.cart_id,
        "status": cart.status,
        "version": cart.version,
        "items": lines,
        "expiresAt": rfc3339(cart.expires_at),
    }
    if cart.items:
        currency = cart.items[0].currency
        document["totalAmount"] = decimal_amount(_total(cart, offers, now), currency)
        document["currency"] = currency
    if cart.buyer_id is not None:
        document["userId"] = wire_id(cart.buyer_id)
    if cart.order_id is not None:
        document["orderId"] = cart.order_id
    return document


def _total(cart: Cart, offers: Offers, now: datetime) -> int:
    """Return the total in minor units at current prices; products no longer sold count as 0."""
    sold = [(item, offers[item.product_id]) for item in cart.items if item.product_id in offers]
    return sum(item.qty * unit_price(offer.stock, now) for item, offer in sold)


def _begins(sale: SaleRow | None, now: datetime) -> dict[str, Any]:
    """Return ``saleStartsAt`` of a sale that has not begun; empty when it has begun or there is no sale."""
    return {} if sale is None or is_open(sale, now) else {"saleStartsAt": rfc3339(sale.starts_at)}


def _line(item: Item, offer: Offer | None, now: datetime) -> dict[str, Any]:
    line: dict[str, Any] = {"productId": wire_id(item.product_id), "qty": item.qty}
    line["seenPrice"] = decimal_amount(item.seen_minor, item.currency)
    if offer is None:
        return {**line, "available": 0, "problems": ["UNKNOWN_PRODUCT"]}
    price, limit = unit_price(offer.stock, now), limit_per_order(offer.stock, now)
    begins = _begins(offer.stock.sale, now)
    problems = ["SALE_NOT_OPEN"] if begins else []
    if price != item.seen_minor:
        problems.append("PRICE_CHANGED")
    if offer.stock.available < item.qty:
        problems.append("SHORT_STOCK")
    if limit and item.qty > limit:
        problems.append("LIMIT_REACHED")
    offered = {"name": offer.name, "price": decimal_amount(price, item.currency), "available": offer.stock.available}
    return {**line, **offered, **begins, "problems": problems}
