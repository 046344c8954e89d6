"""Orders a whole cart, all lines or none, through the same gate and group commit as every purchase."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.first_replies import Key
from pulsecart.runtime.problem import Problem, Refused
from pulsecart.runtime.telemetry.logs import bind
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.serving.bodies import Id
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of, first_again
from pulsecart.shop import metrics
from pulsecart.shop.carts.cart import Cart, differences, order_lines, refuse_differences
from pulsecart.shop.carts.db import carts as rows
from pulsecart.shop.inventory.gate.gate import Answer
from pulsecart.shop.money import exact_minor, wire_id
from pulsecart.shop.orders.decide import Denied, Held, Intent, Outcome, Repeated
from pulsecart.shop.orders.order import Line, Order
from pulsecart.shop.orders.refusal import public_reason, refusal

if TYPE_CHECKING:
    from pulsecart.shop.orders.till import Till


class Accepted(Struct, frozen=True):
    """A unit price that the buyer agrees to, a decimal in the cart's currency."""

    productId: Id
    price: Annotated[float, Meta(ge=0, le=10**9)]


async def first_reply(deps: Deps, key: Key) -> Reply | None:
    """Return the first reply stored under this key; None if there is none."""
    stored = await _till(deps).first_reply(key.scope)
    return None if stored is None else first_again(stored, key)


async def order_cart(
    request: Request, deps: Deps, buyer: str, cart: Cart, key: Key, accept: Sequence[Accepted]
) -> Reply:
    """
    Order the cart and return the order.

    Raises:
        Refused: the cart was ordered, is empty, or differs from what the buyer saw; ``lines`` then lists where.
        Malformed: an accepted price has a finer fraction than the cart's currency.
    """
    began, till = time.perf_counter(), _till(deps)
    currency = cart.items[0].currency if cart.items else ""
    accepted = {str(one.productId): exact_minor(one.price, currency, "accept's price") for one in accept if currency}
    lines = order_lines(cart, accepted)
    await _check(deps, cart, lines)
    with span("carts.checkout", request.headers.get("traceparent")) as trace:
        order = _order(request, deps, buyer, lines, trace.traceparent)
        with bind(orderId=order.order_id, userId=buyer):
            outcome = await till.place(Intent(order=order, key=key, cart=cart.row), key.scope.hex())
    match outcome:
        case Held():
            metrics.order_created("cart", began)
            return Reply(200, outcome.reply)
        case Repeated(stored):
            return first_again(stored, key)
        case Answer():
            repeated = await first_reply(deps, key)
            if repeated is not None:
                return repeated
    await _check(deps, cart, lines)
    raise _no_order(outcome)


def _till(deps: Deps) -> "Till":
    from pulsecart.shop.orders.till import Till  # imports Redis, which carts need only for checkout

    return deps.singleton(Till)


async def _check(deps: Deps, cart: Cart, lines: Sequence[Line]) -> None:
    """Refuse a cart that cannot be ordered before it loads the gate; the order's transaction decides."""
    async with deps.db.transaction() as tx:
        now = await rows.find(tx, cart.cart_id)
        offers = await rows.offers(tx, [line.product_id for line in lines])
        found = differences(lines, offers, tx.now)
    if now is None or now.status != "OPEN":
        raise Refused("cart-closed", "This cart was already ordered. Create a new cart with POST /api/v1/carts.")
    if not lines:
        raise Refused("cart-empty", "This cart is empty. Add a product first.")
    if found:
        raise refuse_differences(found)


def _no_order(outcome: Outcome | Answer) -> Problem:
    """Return the problem for a refusal by the gate or the order's transaction, naming the line if it concerns one."""
    reason: str
    if isinstance(outcome, Answer):
        reason, product_id = outcome.verdict, outcome.detail
    elif isinstance(outcome, Denied):
        reason, product_id = outcome.reason, outcome.product_id
    else:
        return refusal("BUSY")
    if reason == "CART_CHANGED":
        return Refused("cart-changed", "The cart was changed during the checkout. Read the cart, and order again.")
    problem = refusal(reason, product_id)
    reason = public_reason(reason)
    if reason in ("SOLD_OUT", "LIMIT_REACHED", "SALE_NOT_OPEN"):
        metrics.RESERVATION_FAILURES.of(reason).add()
        problem.extra["lines"] = [{"productId": wire_id(product_id), "reason": reason}]
    return problem


def _order(request: Request, deps: Deps, buyer: str, lines: tuple[Line, ...], traceparent: str) -> Order:
    """Build the order; ``path`` is "orders", the only value in order.created's contract for several products."""
    order_id = deps.new_id()
    return Order(
        order_id=order_id,
        buyer_id=buyer,
        status="PENDING",
        lines=lines,
        currency="",
        path="orders",
        version=1,
        created_at=deps.clock.now(),
        claim_id=order_id,
        correlation_id=correlation_of(request),
        traceparent=traceparent,
    )
