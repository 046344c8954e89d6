"""Takes orders: sync/purchase → 200 + order, or 409; async/purchase → 202 + tracking id; orders → 201 PENDING."""

import time

import msgspec

from functions.checkout.bodies import OrderBody, PurchaseBody
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deadline import Deadline
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.first_replies import Key
from pulsecart.runtime.problem import Malformed, Problem
from pulsecart.runtime.telemetry.logs import bind
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.serving.access import CUSTOMER
from pulsecart.serving.auth import require_buyer
from pulsecart.serving.bodies import decoded
from pulsecart.serving.http import PROBLEM, Reply, Request
from pulsecart.serving.idempotency import correlation_of, first_again, key_of, required_key
from pulsecart.serving.operation import operation
from pulsecart.serving.replies import reply_of
from pulsecart.serving.routes import post
from pulsecart.shop import metrics
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import Answer
from pulsecart.shop.orders.db import intake
from pulsecart.shop.orders.decide import Denied, Held, Intent, Outcome, Repeated
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated
from pulsecart.shop.orders.order import Line, Order, Path, order_document
from pulsecart.shop.orders.refusal import denial, public_reason, refusal, sold_out
from pulsecart.shop.orders.till import Till

INTAKE_CONNECTIONS = 4
DEADLINE_S = 30.0
SOLD_OUT = reply_of(sold_out()).body  # the most frequent reply: encoded once


def patience(_deps: Deps) -> Deadline:
    """Create the process's instance, for ``deps.singleton``."""
    return Deadline(DEADLINE_S)


async def purchase_now(request: Request, deps: Deps) -> Reply:
    """Take the stock and write the order in one transaction, or refuse at once with the reason."""
    began = time.perf_counter()
    body = decoded(request.body, PurchaseBody)
    buyer = await require_buyer(request, deps, str(body.userId))
    till, product = deps.singleton(Till), str(body.productId)
    if till.sold_out.says_no(product, body.quantity, buyer):
        metrics.RESERVATION_FAILURES.of("SOLD_OUT").add()
        return Reply(409, SOLD_OUT, PROBLEM)
    key = key_of(request, buyer)
    with span("checkout.purchase", request.headers.get("traceparent")) as trace:
        order = _order(request, deps, buyer, "sync", (Line(product, body.quantity),), trace.traceparent)
        with bind(orderId=order.order_id, userId=buyer), deps.singleton(patience).limit(request.within(DEADLINE_S)):
            outcome = await till.place(
                Intent(order=order, key=key, expected=(body.expectedPrice,)), key.scope.hex() if key else ""
            )
    if isinstance(outcome, Held):
        metrics.order_created("sync", began)
    return await _answer(outcome, product, key, till)


async def _answer(outcome: Outcome | Answer, product: str, key: Key | None, till: Till) -> Reply:
    match outcome:
        case Held():
            return Reply(200, outcome.reply)
        case Repeated(stored):
            return first_again(stored, key)
        case Denied(reason="PRICE_CHANGED"):
            raise denial(outcome)
        case Denied(reason, product_id):
            raise _no_stock(reason, product_id)
        case Answer(verdict):
            stored_now = await till.first_reply(key.scope) if key else None  # a rebuilt gate has lost its keys
            if stored_now is not None:
                return first_again(stored_now, key)
            if verdict == "SOLD_OUT":
                till.sold_out.remember(product)
            raise _no_stock(verdict, product)
        case _:
            raise refusal("BUSY")


def _no_stock(reason: str, product: str) -> Problem:
    if reason not in ("SEEN", "KEY_REUSED"):  # not about stock
        metrics.RESERVATION_FAILURES.of(public_reason(reason)).add()
    return refusal(reason, product)


async def purchase_later(request: Request, deps: Deps) -> Reply:
    """Accept the order; its stock is taken later, and the tracking id leads to the result."""
    body = decoded(request.body, PurchaseBody)
    buyer = await require_buyer(request, deps, str(body.userId))
    lines = (Line(str(body.productId), body.quantity),)
    expected = (body.expectedPrice,)
    return await _accept(request, deps, buyer, "async", lines, expected, key_of(request, buyer))


async def create_order(request: Request, deps: Deps) -> Reply:
    """Accept an order of several products; its stock is taken later."""
    body = decoded(request.body, OrderBody)
    buyer = await require_buyer(request, deps, str(body.userId))
    lines = tuple(Line(str(item.productId), item.qty) for item in body.items)
    if len({line.product_id for line in lines}) < len(lines):
        raise Malformed(
            "product-twice", "A product may occur in one line only. Send one line with the sum of the quantities."
        )
    expected = tuple(item.expectedPrice for item in body.items)
    return await _accept(request, deps, buyer, "orders", lines, expected, required_key(request, buyer))


class Intake:
    """Groups orders that arrive together into one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        db = deps.share("checkout", INTAKE_CONNECTIONS).db
        self.requests: Batcher[intake.Request, Outcome] = Batcher(
            lambda requests: intake.accept(db, requests),
            size_max=deps.settings.batch_max,
            queue_max=deps.settings.queue_max,
            parallel=2,
            drop_abandoned=True,
        )


async def _accept(
    request: Request,
    deps: Deps,
    buyer: str,
    path: Path,
    lines: tuple[Line, ...],
    expected: tuple[float | None, ...],
    key: Key | None,
) -> Reply:
    began = time.perf_counter()
    reply_to = _accepted if path == "async" else _created
    with span(f"checkout.{path}", request.headers.get("traceparent")) as trace:
        order = _order(request, deps, buyer, path, lines, trace.traceparent)
        with bind(orderId=order.order_id, userId=buyer), deps.singleton(patience).limit(request.within(DEADLINE_S)):
            outcome = await deps.singleton(Intake).requests.submit(intake.Request(order, key, reply_to, expected))
    match outcome:
        case Held(written):
            metrics.order_created(path, began)
            status, text = reply_to(written)
        case Repeated(stored):
            status, text = stored.status, stored.body
        case Denied():
            raise denial(outcome)
        case _:
            raise refusal("")
    where = "/api/v1/async/purchase/" if path == "async" else "/api/v1/orders/"
    order_id = outcome.order.order_id if isinstance(outcome, Held) else outcome.stored.order_id
    return Reply(status, text.encode(), headers=(("location", where + order_id),))


def _accepted(order: Order) -> tuple[int, str]:
    url = f"/api/v1/async/purchase/{order.order_id}"
    document = {"trackingId": order.order_id, "orderId": order.order_id, "status": "PENDING", "statusUrl": url}
    return 202, msgspec.json.encode(document).decode()


def _created(order: Order) -> tuple[int, str]:
    return 201, msgspec.json.encode(order_document(order)).decode()


def _order(request: Request, deps: Deps, buyer: str, path: Path, lines: tuple[Line, ...], traceparent: str) -> Order:
    order_id = deps.new_id()
    return Order(
        order_id=order_id,
        buyer_id=buyer,
        status="PENDING",
        lines=lines,
        currency="",
        path=path,
        version=1,
        created_at=deps.clock.now(),
        claim_id=order_id if path == "sync" else None,
        correlation_id=correlation_of(request),
        traceparent=traceparent,
    )


checkout = operation(
    "checkout",
    routes=[
        post("/api/v1/sync/purchase", purchase_now, allow=CUSTOMER),
        post("/api/v1/async/purchase", purchase_later, allow=CUSTOMER),
        post("/api/v1/orders", create_order, allow=CUSTOMER),
    ],
    emits=[OrderConfirmed, OrderCreated, StockAdjusted],
    concurrency=8192,
    deadline_s=None,
    redis=True,
)
