"""
Sells in the simplest way, as a reference: one script call and one transaction per request, a statement at a time.

All guards of ``checkout`` are here (gate with limit and lease, claim, epoch, stock, buyer's limit, Idempotency-Key,
events in the log); nothing is grouped and nothing is remembered. It is what ``benchmarks.comparisons`` compares with.
"""

import msgspec
from psycopg.errors import UniqueViolation

from functions.checkout.bodies import PurchaseBody
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.first_replies import Key
from pulsecart.runtime.problem import Refused, Unavailable
from pulsecart.serving.access import CUSTOMER
from pulsecart.serving.bodies import decoded
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import key_of
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import post
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import Answer, ClaimRequest, gate_of
from pulsecart.shop.inventory.gate_rebuild import rebuild
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import history
from pulsecart.shop.orders.order import Line, Order, purchase_document
from pulsecart.shop.orders.refusal import refusal

CONNECTIONS = 16
PRICE_MINOR = 4990


async def purchase(request: Request, deps: Deps) -> Reply:
    body = decoded(request.body, PurchaseBody)
    buyer, product = str(body.userId), str(body.productId)
    key = key_of(request, buyer)
    if key is None:
        raise Refused("key-missing", "The naive shop requires an Idempotency-Key.")
    order_id = deps.new_id()
    claim_request = ClaimRequest(order_id, buyer, key.scope.hex(), ((product, body.quantity),))
    answer = await _claim(deps, claim_request, product)
    if answer.verdict != "WON":
        raise refusal(answer.verdict, product)
    line = Line(product, body.quantity, PRICE_MINOR)
    order = Order(
        order_id=order_id,
        buyer_id=buyer,
        status="CONFIRMED",
        lines=(line,),
        currency="USD",
        path="sync",
        version=2,
        created_at=deps.clock.now(),
        claim_id=order_id,
    )
    document = msgspec.json.encode(purchase_document(order))
    try:
        async with deps.db.transaction() as tx:
            await _sell(tx, order, line, answer.epochs[0], key, document)
    except UniqueViolation:
        raise Unavailable("busy", "This key was used before; repeat the request.") from None
    return Reply(200, document)


async def _claim(deps: Deps, claim_request: ClaimRequest, product: str) -> Answer:
    gate = deps.singleton(gate_of)
    answer = (await gate.claim([claim_request]))[0]
    if answer.verdict == "MISSING":
        await rebuild(deps.db, gate, product)
        answer = (await gate.claim([claim_request]))[0]
    return answer


async def _sell(tx: Tx, order: Order, line: Line, epoch: int, key: Key, document: bytes) -> None:
    order_id, buyer, total = order.order_id, order.buyer_id, order.total_minor
    await tx.execute("INSERT INTO claims (claim_id, state) VALUES (%s, 'won')", (order_id,))
    taken = await tx.row(
        """
        UPDATE stock SET available = available - %s, version = version + 1
        WHERE product_id = %s AND epoch = %s AND available >= %s RETURNING available, version, buyer_limit
        """,
        (line.qty, line.product_id, epoch, line.qty),
    )
    if taken is None:
        raise refusal("SOLD_OUT", line.product_id)
    available, version, limit = taken
    counted = await tx.row(
        """
        INSERT INTO buyer_units (product_id, buyer_id, units) VALUES (%s, %s, %s)
        ON CONFLICT (product_id, buyer_id) DO UPDATE SET units = buyer_units.units + excluded.units RETURNING units
        """,
        (line.product_id, buyer, line.qty),
    )
    if limit and counted and counted[0] > limit:
        raise refusal("LIMIT", line.product_id)
    await tx.execute(
        "INSERT INTO idempotency_keys (scope, payload_hash, order_id, status, body, created_at)"
        " VALUES (%s, %s, %s, 200, %s, %s)",
        (key.scope, key.payload_hash, order_id, document.decode(), tx.now),
    )
    await tx.execute(
        "INSERT INTO orders (order_id, buyer_id, status, total_minor, currency, path, claim_id, version, pay_by,"
        " created_at, updated_at) VALUES (%s, %s, 'CONFIRMED', %s, 'USD', 'sync', %s, 2, %s, %s, %s)",
        (order_id, buyer, total, order_id, tx.now, tx.now, tx.now),
    )
    await tx.execute(
        "INSERT INTO order_items (order_id, line, product_id, qty, price_minor) VALUES (%s, 1, %s, %s, %s)",
        (order_id, line.product_id, line.qty, line.price_minor),
    )
    history.note(tx, order, history.buyer(order), key=key.text)
    tx.emit(announce.created(order), key=order_id, sequence=1, orderstatus="confirmed")
    tx.emit(announce.confirmed(order, tx.now), key=order_id, sequence=2)
    adjusted = StockAdjusted(productId=line.product_id, delta=-line.qty, available=available, reason="RESERVED")
    tx.emit(adjusted, key=line.product_id, sequence=version)


naive = operation(
    "naive", routes=[post("/api/v1/sync/purchase", purchase, allow=CUSTOMER)], connections=CONNECTIONS, concurrency=8192
)
