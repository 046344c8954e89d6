"""functions-framework serves every operation as it is: `--source functions/<op>/main.py --target <op>`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.processes import registry
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.serving import cloudevents
from pulsecart.shop.orders.events import OrderPaid
from pulsecart.shop.partners.events import FulfilmentReported, StockReported
from tests.client import Client
from tests.contracts.examples import example
from tests.functions.partner_shop import BATCH, PartnerShop, fulfilment
from tests.functions.partner_shop import stock as stock_report
from tests.serving.framework import Served

ORDER = "ecommerce.order.order"
PING = CloudEvent(id="p1", source="/pings", type="dev.knative.sources.ping", data=b"{}")
Check = Callable[[Served, Client], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def check(of: Check) -> Check:
    """Register the request or event by which the operation of this name is tested."""
    CHECKS[of.__name__] = of
    return of


async def post(served: Served, event: CloudEvent) -> tuple[int, bytes]:
    headers, body = cloudevents.binary(event)
    answered = await served.http.post("/", headers=headers, content=body)
    return answered.status_code, answered.content


async def newest(client: Client, type: str) -> CloudEvent:
    return (await client.log(type))[-1]


async def handle_order(client: Client, step: str) -> CloudEvent:
    return await newest(client, f"{ORDER}.{step}.v1")


async def status(client: Client) -> Any:
    """Return the status of the newest order."""
    return (await client.row("SELECT status FROM orders ORDER BY created_at DESC"))[0]


async def bought(client: Client) -> str:
    body = (await client.buy(product=2)).body
    return str(body["orderId"])


@check
async def adjust_stock(served: Served, client: Client) -> None:
    shop = await PartnerShop(client).own()
    assert (await shop.send(stock_report("1", 7))).status == 202
    for _ in range(2):
        assert await post(served, await newest(client, StockReported.TYPE)) == (204, b"")
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1007,)


@check
async def cancel(served: Served, client: Client) -> None:
    order_id = await bought(client)
    answers = [await served.http.post(f"/api/v1/orders/{order_id}/cancel") for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "CANCELED")] * 2


@check
async def carts(served: Served, client: Client) -> None:
    opened = await served.http.post("/api/v1/carts")
    assert (opened.status_code, "HttpOnly" in opened.headers["set-cookie"]) == (201, True)
    cart = opened.headers["location"]
    assert (await served.http.put(f"{cart}/items/2", json={"qty": 2})).json()["totalAmount"] == 118.0
    asked = [
        await served.http.post(f"{cart}/checkout", json={"userId": 7}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert {answer.status_code for answer in asked} == {200}
    assert asked[0].content == asked[1].content
    (order_id,) = await client.row("SELECT order_id::text FROM orders")
    assert (await served.http.get(cart)).json()["orderId"] == order_id


@check
async def checkout(served: Served, client: Client) -> None:
    body = {"productId": 1, "userId": 7}
    asked = [
        await served.http.post("/api/v1/sync/purchase", json=body, headers={"Idempotency-Key": "k"}) for _ in range(3)
    ]
    assert {answer.status_code for answer in asked} == {200}
    assert len({answer.content for answer in asked}) == 1
    later = await served.http.post("/api/v1/async/purchase", json=body, headers={"Correlation-Id": "c1"})
    assert (later.status_code, later.headers["correlation-id"]) == (202, "c1")
    assert later.headers["location"] == later.json()["statusUrl"]
    refused = await served.http.post("/api/v1/sync/purchase", json=body | {"quantity": 2})
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert await client.row("SELECT count(*) FROM orders") == (2,)


@check
async def edge(served: Served, client: Client) -> None:
    sales = await served.http.get("/api/v1/sales")
    assert [str(sale["productId"]) for sale in sales.json()["sales"]] == ["1"]
    page = await served.http.get("/")
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")


@check
async def events(served: Served, client: Client) -> None:
    await PartnerShop(client).own()
    headers = client.signed("acme", "partner") | {"content-type": BATCH}
    sent = [stock_report(data={"productId": "1", "delta": 1, "reason": "LOST"}, note="x" * 100) for _ in range(400)]
    for duplicates in (0, 400):
        answered = await served.http.post("/events", json=sent, headers=headers)
        assert (answered.status_code, answered.json()) == (202, {"accepted": 400, "duplicates": duplicates})
    asked = await served.http.options("/events", headers={"WebHook-Request-Origin": "partner.example"})
    assert asked.headers["webhook-allowed-origin"] == "partner.example"


@check
async def expire(served: Served, client: Client) -> None:
    for ask in (served.http.post("/poke"), post(served, PING)):
        await bought(client)
        await client.rows("UPDATE orders SET pay_by = now() WHERE status = 'CONFIRMED' RETURNING 1")
        await ask
        assert await status(client) == "CANCELED"


@check
async def flash_sales(served: Served, client: Client) -> None:
    admin = client.signed("an-admin", "admin")
    sale = {"productId": 2, "price": 20, "endsAt": "2999-01-01T00:00:00Z"}
    answers = [
        await served.http.post("/api/v1/flash-sales", json=sale, headers={"Idempotency-Key": "k", **admin})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    shown = {"If-Match": answers[0].headers["etag"], **admin}
    ended = await served.http.put(
        answers[0].headers["location"], json={"endsAt": "2020-01-01T00:00:00Z"}, headers=shown
    )
    assert ended.json()["status"] == "ENDED"


@check
async def fulfil(served: Served, client: Client) -> None:
    await bought(client)
    await client.handle_event("pay", await handle_order(client, "confirmed"))
    for _ in range(2):
        assert await post(served, await handle_order(client, "paid")) == (204, b"")
    assert await status(client) == "FULFILLED"
    assert len(await client.log(f"{ORDER}.fulfilled.v1")) == 1


@check
async def keep_dead_letter(served: Served, client: Client) -> None:
    failed = {"knativeerrordest": "http://shop/pay", "knativeerrorcode": "500", "knativeerrordata": "bm8="}
    for _ in range(2):
        letter = CloudEvent(id="d1", source="/test", type="any.type.v1", data=b"{}", extensions=failed)
        assert await post(served, letter) == (204, b"")
    assert await client.rows("SELECT trigger, event_id, error_code FROM dead_letters") == [("pay", "d1", 500)]


@check
async def notify(served: Served, client: Client) -> None:
    await bought(client)
    before = len(await client.deps.redis.keys("*"))
    for _ in range(2):
        assert await post(served, await handle_order(client, "created")) == (204, b"")
    assert len(await client.deps.redis.keys("*")) > before


@check
async def open_sales(served: Served, client: Client) -> None:
    for ask in (served.http.post("/poke"), post(served, PING)):
        await client.rows("UPDATE flash_sales SET status = 'SCHEDULED', version = 0 RETURNING 1")
        await ask
        assert await client.row("SELECT status, version > 0 FROM flash_sales") == ("STARTED", True)


@check
async def orders(served: Served, client: Client) -> None:
    order_id = await bought(client)
    assert (await served.http.get(f"/api/v1/orders/{order_id}")).json()["status"] == "CONFIRMED"
    assert (await served.http.get("/api/v1/sync/health")).json()["status"] == "UP"
    assert (await served.http.get("/api/v1/orders/nope")).status_code == 404


@check
async def partners(served: Served, client: Client) -> None:
    admin, partner = client.signed("an-admin", "admin"), client.signed("acme", "partner")
    given = [await served.http.put("/api/v1/partners/acme/products/1", headers=admin) for _ in range(2)]
    assert [answer.status_code for answer in given] == [204, 204]
    listed = await served.http.get("/api/v1/partners/acme/products", headers=partner)
    assert listed.json() == {"partnerId": "acme", "productIds": [1]}
    made = await served.http.post("/api/v1/partners/acme/sources", headers=partner)
    assert made.json()["secret"].startswith("whsec_")


@check
async def pay(served: Served, client: Client) -> None:
    await bought(client)
    for _ in range(2):
        assert await post(served, await handle_order(client, "confirmed")) == (204, b"")
    assert await status(client) == "PAID"
    assert (await served.http.get("/api/v1/payments/simulator")).json()["mode"] == "approve"


@check
async def project_orders(served: Served, client: Client) -> None:
    order_id = await bought(client)
    for step in ("confirmed", "created"):
        assert await post(served, await handle_order(client, step)) == (204, b"")
    found = await client.rows("SELECT order_id::text, status, sequence FROM orders_by_customer")
    assert found == [(order_id, "CONFIRMED", 2)]


@check
async def products(served: Served, client: Client) -> None:
    admin = client.signed("an-admin", "admin")
    shown = await served.http.get("/api/v1/products/2")
    assert (shown.status_code, shown.json()["name"]) == (200, "Gooseneck kettle")
    again = await served.http.get("/api/v1/products/2", headers={"If-None-Match": shown.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    made = await served.http.post("/api/v1/products", json={"sku": "TEA", "name": "Tea", "price": 3.5}, headers=admin)
    assert made.status_code == 201
    deleted = await served.http.delete(made.headers["location"], headers={"If-Match": made.headers["etag"], **admin})
    assert (deleted.status_code, deleted.content) == (204, b"")
    found = await served.http.get("/api/v1/products", params={"q": "kettle"})
    assert [product["productId"] for product in found.json()["products"]] == [2]


@check
async def pubsub_publish(served: Served, client: Client) -> None:
    await bought(client)
    assert (await post(served, await handle_order(client, "created")))[0] == 503  # no project is configured here


@check
async def pubsub_pull(served: Served, client: Client) -> None:
    assert await post(served, PING) == (204, b"")  # no subscription is configured here


@check
async def pubsub_push(served: Served, client: Client) -> None:
    assert (await served.http.post("/pubsub/push", json={})).status_code == 401


@check
async def record_fulfilment(served: Served, client: Client) -> None:
    shop = await PartnerShop(client).own()
    paid = await shop.paid()
    assert (await shop.send(fulfilment(paid.partitionkey))).status == 202
    for _ in range(2):
        assert await post(served, await newest(client, FulfilmentReported.TYPE)) == (204, b"")
    assert await status(client) == "FULFILLED"
    assert len(await client.log(f"{ORDER}.fulfilled.v1")) == 1


@check
async def refresh_products(served: Served, client: Client) -> None:
    for kind in ("product.product.updated", "pricing.flash_sale.started", "inventory.stock.adjusted"):
        for _ in range(2):
            assert await post(served, await newest(client, f"ecommerce.{kind}.v1")) == (204, b"")
    assert await client.deps.redis.exists("flash_price:1", "inventory:28", "product:28") == 3


@check
async def refund(served: Served, client: Client) -> None:
    order_id = await bought(client)
    await client.handle_event("pay", await handle_order(client, "confirmed"))
    await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    for _ in range(2):
        assert await post(served, await handle_order(client, "canceled")) == (204, b"")
    assert await client.rows("SELECT status FROM payments") == [("REFUNDED",)]


@check
async def relay(served: Served, client: Client) -> None:
    assert (await served.http.post("/poke")).status_code == 204  # idle: there is no broker here
    assert await post(served, PING) == (204, b"")


@check
async def reserve(served: Served, client: Client) -> None:
    for user in (1, 2):
        await client.buy(user=user, path="async")
        for _ in range(2):
            assert await post(served, await handle_order(client, "created")) == (204, b"")
        assert await status(client) == "CONFIRMED"
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (998,)


@check
async def settle(served: Served, client: Client) -> None:
    order_id = await bought(client)
    await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    for _ in range(2):
        assert await post(served, await newest(client, "ecommerce.inventory.stock.adjusted.v1")) == (204, b"")
    assert await client.deps.redis.hget("{gate}:p:2", "left") == b"500"
    assert (await served.http.post("/poke")).status_code == 204


@check
async def stock(served: Served, client: Client) -> None:
    assert (await served.http.get("/api/v1/sync/stock/1")).json() == {"productId": 1, "stock": 1000}
    assert (await served.http.put("/api/v1/sync/stock/1/reset?stock=5")).json()["stock"] == 5
    assert (await served.http.post("/api/v1/sync/stock/init/1")).json()["stock"] == 5


@check
async def webhook_deliver(served: Served, client: Client) -> None:
    for _ in range(2):
        assert await post(served, example(OrderPaid)) == (204, b"")


@check
async def webhooks(served: Served, client: Client) -> None:
    admin = client.signed("an-admin", "admin")
    body = {"partnerId": "p-1", "url": "https://hooks.example/", "eventTypes": ["ecommerce.order.*"]}
    made = await served.http.post("/api/v1/webhook-subscriptions", headers=admin, json=body)
    assert made.json()["secret"].startswith("whsec_")


def test_every_operation_has_its_exchange() -> None:
    assert sorted(CHECKS) == registry.names()


@pytest.fixture(params=registry.names())
async def served(
    request: pytest.FixtureRequest, settings: Settings, client: Client, tmp_path: Path
) -> AsyncIterator[Served]:
    """Provide the operation in a process of its own, on this test's database and Redis."""
    environ = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ACCEPT_UNSIGNED_BUYERS": "true",
        "SESSION_SECRET": settings.session_secret,
        "WEBHOOK_KEYS": settings.webhook_keys,
        "JWT_JWKS_URL": settings.jwt_jwks_url,
        "JWT_ISSUER": settings.jwt_issuer,
    }
    process = Served(request.param, environ, tmp_path / "said")
    try:
        await process.ready()
        yield process
    finally:
        await process.stop()


async def test_an_operation_answers_and_keeps_its_connections_from_request_to_request(
    served: Served, client: Client
) -> None:
    await CHECKS[served.operation](served, client)
    await _refuses_what_is_malformed(served, client)
    assert served.process.poll() is None, served.said
    assert "Traceback" not in served.said
    backends = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pulsecart'"
    )
    assert (await client.row(backends))[0] <= 2 * 4


async def _refuses_what_is_malformed(served: Served, client: Client) -> None:
    operation = client.operations[served.operation]
    if not operation.subscriptions:
        assert (await served.http.post("/nowhere", json={})).status_code == 404
        return
    garbage = await served.http.post("/", content=b"garbage", headers={"content-type": "application/json"})
    assert garbage.status_code == (400 if operation.unreadable is None else 204)  # a dead letter is kept all the same
    if "*" in operation.events:
        return
    assert (await post(served, replace(PING, type="unknown.type.v1")))[0] == 400
    for received in set(operation.events) - {PING.type}:
        assert (await post(served, replace(PING, type=received, data=b"garbage")))[0] == 400
