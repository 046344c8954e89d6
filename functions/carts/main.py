"""Serves carts: compares lines with catalogue and stock, merges carts on sign-in, orders a cart whole or not at all."""

import uuid
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from functions.carts.checkout import Accepted, first_reply, order_cart
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Forbidden, NotFound, Refused, TooMany, Unavailable
from pulsecart.serving.access import CART, CUSTOMER
from pulsecart.serving.addresses import proxies_of
from pulsecart.serving.auth import buyer_of, require_buyer, require_owner
from pulsecart.serving.bodies import LINES_MAX, Id, decoded
from pulsecart.serving.cookies import set_cookie, value_of
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import required_key
from pulsecart.serving.operation import operation
from pulsecart.serving.rate_limit import Allowance
from pulsecart.serving.routes import get, post, put
from pulsecart.shop.carts.cart import QTY_MAX, Cart, Item, cart_document, merged
from pulsecart.shop.carts.cart import put as put_item
from pulsecart.shop.carts.db import carts as rows
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated
from pulsecart.shop.orders.refusal import refusal
from pulsecart.shop.pricing.terms import limit_per_order, unit_price

COOKIE = "cart"
MINE = "mine"
TRIES = 3
CARTS_WINDOW_S = 3600.0


class WhoBody(Struct, frozen=True):
    """The buyer's id; without a token, it is accepted in the demo only."""

    userId: Id | None = None


class ItemBody(Struct, frozen=True):
    """``qty`` 0 removes the product."""

    qty: Annotated[int, Meta(ge=0, le=QTY_MAX)]


class CheckoutBody(Struct, frozen=True):
    """``accept``: unit prices that the buyer accepts where they differ from the prices first shown."""

    userId: Id | None = None
    accept: Annotated[list[Accepted], Meta(max_length=LINES_MAX)] = []


async def open_cart(request: Request, deps: Deps) -> Reply:
    """
    Create a cart: the caller's, or an anonymous one for any client with its id (also set as an HttpOnly cookie).

    Raises:
        TooMany: too many anonymous carts were created from this address.
    """
    buyer = await _caller(request, deps)
    if buyer is None:
        _count_anonymous(request, deps)
    async with deps.db.transaction() as tx:
        before = await rows.open_of(tx, buyer) if buyer else None
        cart = before or await rows.create(tx, str(uuid.uuid4()), buyer)
        reply = await _shown(tx, cart, 200 if before else 201)
    headers = [("location", f"/api/v1/carts/{cart.cart_id}")]
    if buyer is None:
        kept_s = int(rows.ANONYMOUS_KEPT.total_seconds())
        headers.append(("set-cookie", set_cookie(COOKIE, cart.cart_id, kept_s, deps.settings)))
    reply.headers = (*reply.headers, *headers)
    return reply


async def show(request: Request, deps: Deps) -> Reply:
    """Show a cart: each line with the price seen, the current price, and its problems."""
    cart = await _own(request, deps)
    async with deps.db.transaction() as tx:
        return await _shown(tx, cart)


async def set_item(request: Request, deps: Deps) -> Reply:
    """
    Set the quantity of a product.

    Raises:
        Refused: the cart was ordered or is full, or the quantity exceeds the limit per buyer.
    """
    body, product_id = decoded(request.body, ItemBody), request.params["productId"]
    found = await _own(request, deps)
    async with deps.db.transaction() as tx:
        cart = _still_open((await rows.locked(tx, [found.cart_id])).get(found.cart_id))
        offer = (await rows.offers(tx, [product_id])).get(product_id)
        if body.qty and offer is None:
            raise refusal("UNKNOWN_PRODUCT", product_id[:64])
        price, currency, limit = 0, "", 0
        if offer is not None:
            price, currency = unit_price(offer.stock, tx.now), offer.stock.currency
            limit = limit_per_order(offer.stock, tx.now)
        if limit and body.qty > limit:
            raise Refused("limit-reached", f"One buyer may have {limit} of this product.", limit=limit)
        items = put_item(cart.items, Item(product_id, body.qty, price, currency, tx.now))
        return await _shown(tx, await rows.save(tx, cart, items))


async def merge(request: Request, deps: Deps) -> Reply:
    """
    Merge an anonymous cart into the buyer's own: quantities add up to the limit. Repeating it changes nothing.

    Raises:
        Refused: both carts together have too many lines; nothing is merged then.
    """
    buyer = await require_buyer(request, deps, _named(request))
    cart_id = _asked_id(request, deps)
    for _ in range(TRIES):
        async with deps.db.transaction() as tx:
            mine = await rows.open_of(tx, buyer) or await rows.create(tx, str(uuid.uuid4()), buyer)
            both = await rows.locked(tx, {mine.cart_id, cart_id} if is_id(cart_id) else {mine.cart_id})
            brought, mine_now = both.get(cart_id), both.get(mine.cart_id)
            if brought is None:
                raise _unknown(cart_id)
            if brought.buyer_id not in (None, buyer):
                raise Forbidden("not-yours", "This cart belongs to another buyer. Sign in as that buyer.")
            if mine_now is None or mine_now.status != "OPEN":
                continue  # ordered meanwhile: the next attempt creates a cart
            if brought.status == "OPEN" and brought.cart_id != mine.cart_id:
                mine_now = await _merge(tx, mine_now, brought)
            reply = await _shown(tx, mine_now)
            reply.headers = (("set-cookie", set_cookie(COOKIE, "", 0, deps.settings)),)
            return reply
    raise Unavailable("busy", "This cart is being ordered. Try again in a second.")


async def _merge(tx: Tx, mine: Cart, brought: Cart) -> Cart:
    offers = await rows.offers(tx, [item.product_id for item in brought.items])
    limits = {product_id: limit_per_order(offer.stock, tx.now) for product_id, offer in offers.items()}
    together = await rows.save(tx, mine, merged(mine.items, brought.items, limits))
    await rows.save(tx, brought, (), "MERGED")
    return together


async def check_out(request: Request, deps: Deps) -> Reply:
    """
    Order all lines at the prices seen or accepted, or refuse with a reason per line. The order's own transaction
    closes the cart.
    """
    body = decoded(request.body or b"{}", CheckoutBody)
    buyer = await require_buyer(request, deps, None if body.userId is None else str(body.userId))
    key = required_key(request, buyer)
    repeated = await first_reply(deps, key)
    if repeated is not None:
        return repeated
    cart = await _own(request, deps)
    if cart.buyer_id not in (None, buyer):
        raise _unknown(cart.cart_id)
    return await order_cart(request, deps, buyer, cart, key, body.accept)


def anonymous_allowance(deps: Deps) -> Allowance:
    """Create the process's instance, for ``deps.singleton``."""
    return Allowance(deps.settings.carts_per_address, CARTS_WINDOW_S)


def _count_anonymous(request: Request, deps: Deps) -> None:
    address = deps.singleton(proxies_of).counted(request.headers, request.peer)
    wait_s = deps.singleton(anonymous_allowance).take(address, deps.clock.now().timestamp())
    if wait_s:
        raise TooMany(
            "too-many-carts", f"Too many carts were created from your address. Try again in {wait_s} s.", wait_s
        )


async def _caller(request: Request, deps: Deps) -> str | None:
    named = _named(request)
    return await require_buyer(request, deps, named) if named is not None else await buyer_of(request, deps)


def _named(request: Request) -> str | None:
    named = decoded(request.body or b"{}", WhoBody).userId
    return None if named is None else str(named)


def _asked_id(request: Request, deps: Deps) -> str:
    """Return the cart id in the path; for ``mine``, the id in the cookie, or an empty string."""
    asked = request.params["id"]
    if asked != MINE:
        return asked
    return value_of(COOKIE, request.headers.get("cookie", ""), deps.settings) or ""


async def _own(request: Request, deps: Deps) -> Cart:
    """
    Return the path's cart if the caller may use it; ``mine`` is the signed-in buyer's open cart, else the cookie's.

    Raises:
        NotFound: the cart does not exist or has expired.
        Unauthorized, Forbidden: the cart belongs to another buyer.
    """
    buyer = await buyer_of(request, deps) if request.params["id"] == MINE else None
    cart_id = _asked_id(request, deps)
    async with deps.db.transaction() as tx:
        cart = await rows.open_of(tx, buyer) if buyer else None
        if cart is None and is_id(cart_id):
            cart = await rows.find(tx, cart_id)
    if cart is None:
        raise _unknown(cart_id)
    if cart.buyer_id is not None:
        await require_owner(request, deps, cart.buyer_id)
    return cart


def _still_open(cart: Cart | None) -> Cart:
    if cart is None:
        raise NotFound("unknown-cart", "This cart has expired. Create a new cart with POST /api/v1/carts.")
    if cart.status != "OPEN":
        raise Refused("cart-closed", f"This cart is {cart.status}. Create a new cart with POST /api/v1/carts.")
    return cart


def _unknown(cart_id: str) -> NotFound:
    return NotFound(
        "unknown-cart",
        f"There is no cart {cart_id[:64]}, or it has expired. Create a new cart with POST /api/v1/carts.",
    )


async def _shown(tx: Tx, cart: Cart, status: int = 200) -> Reply:
    offers = await rows.offers(tx, [item.product_id for item in cart.items])
    document: dict[str, Any] = cart_document(cart, offers, tx.now)
    return Reply(status, msgspec.json.encode(document), headers=(("cache-control", "no-store"),))


carts = operation(
    "carts",
    routes=[
        post("/api/v1/carts", open_cart, allow=CART),
        get("/api/v1/carts/{id}", show, allow=CART),
        put("/api/v1/carts/{id}/items/{productId}", set_item, allow=CART),
        post("/api/v1/carts/{id}/merge", merge, allow=CUSTOMER),
        post("/api/v1/carts/{id}/checkout", check_out, allow=CUSTOMER),
    ],
    emits=[OrderConfirmed, OrderCreated, StockAdjusted],
    connections=2,
    redis=True,
)
