"""orders: shows an order's status to its owner, and the state of the queue."""

from typing import Any

from tests.client import Client, until
from tests.functions.conftest import Strict

ORDER = {"userId": 7, "items": [{"productId": 2, "qty": 2}, {"productId": 3, "qty": 1}]}


async def test_an_order_is_shown_with_its_lines_and_its_total(client: Client) -> None:
    created = await client.ask("POST", "/api/v1/orders", ORDER, idempotency_key="o1")
    shown = await client.ask("GET", created.headers["location"])
    assert shown.body | {"orderId": "", "createdAt": ""} == {
        "orderId": "",
        "status": "PENDING",
        "userId": 7,
        "items": [{"productId": 2, "qty": 2, "price": 59.0}, {"productId": 3, "qty": 1, "price": 34.5}],
        "totalAmount": 152.5,
        "currency": "USD",
        "createdAt": "",
    }
    assert shown.body["createdAt"] == created.body["createdAt"]


async def test_a_purchase_s_reply_and_its_order_name_the_same_moment_and_amount(client: Client) -> None:
    sold = (await client.buy(product=1, qty=2)).body
    shown = (await client.ask("GET", f"/api/v1/orders/{sold['orderId']}")).body
    assert (shown["createdAt"], shown["totalAmount"]) == (sold["createdAt"], sold["totalAmount"])


async def test_a_tracking_id_reports_how_it_went_and_why(client: Client) -> None:
    await client.restock(1, 0)
    url = (await client.buy(path="async")).body["statusUrl"]
    assert (await client.ask("GET", url)).body["status"] == "PENDING"
    for event in await client.log("ecommerce.order.order.created.v1"):
        await client.handle_event("reserve", event)
    assert {"status": "CANCELED", "reason": "SOLD_OUT"}.items() <= (await client.ask("GET", url)).body.items()


async def test_what_is_not_there_is_404_whatever_its_id_looks_like(client: Client) -> None:
    for order_id in ("0192f000-0000-7000-8000-000000000000", "7", "-" * 4 + "a" * 32, "a" * 36, "é" * 36):
        assert (await client.ask("GET", f"/api/v1/orders/{order_id}")).status == 404
        assert (await client.ask("GET", f"/api/v1/async/purchase/{order_id}")).status == 404


async def test_an_order_is_its_owner_s_alone(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    for path in (f"/api/v1/orders/{order_id}", f"/api/v1/async/purchase/{order_id}", "/api/v1/customers/7/orders"):
        assert (await strict.ask("GET", path)).status == 401
        assert (await strict.ask("GET", path, **strict.as_buyer("8"))).status == 403
        assert (await strict.ask("GET", path, **strict.as_buyer("7"))).status == 200


async def test_a_bad_token_is_refused_and_not_taken_for_none(strict: Strict) -> None:
    for authorization in ("Bearer nonsense", "Basic YTpi", "Bearer"):
        refused = await strict.ask("GET", "/api/v1/customers/7/orders", authorization=authorization)
        assert refused.status == 401


async def test_without_the_demo_s_trust_a_body_s_word_is_not_enough_to_buy(strict: Strict) -> None:
    assert (await strict.buy(user=7)).status == 401
    body = {"productId": 1, "userId": 7}
    as_other = await strict.ask("POST", "/api/v1/sync/purchase", body, **strict.as_buyer("8"))
    assert as_other.status == 403
    mine = await strict.ask("POST", "/api/v1/sync/purchase", body, **strict.as_buyer("7"))
    assert (mine.status, mine.body["userId"]) == (200, 7)


async def test_a_customer_s_orders_come_newest_first_from_the_projection(client: Client) -> None:
    ids = [(await client.buy(user=7, product=2)).body["orderId"] for _ in range(3)]
    await client.buy(user=8, product=2)
    for event in await client.log():
        if event.type in client.operations["project_orders"].events:
            await client.handle_event("project_orders", event)
    shown = (await client.ask("GET", "/api/v1/customers/7/orders")).body
    assert [order["orderId"] for order in shown["orders"]] == ids[::-1]
    assert {order["status"] for order in shown["orders"]} == {"CONFIRMED"}
    assert shown["orders"][0]["totalAmount"] == 59.0
    assert (await client.ask("GET", "/api/v1/customers/nobody/orders")).body["orders"] == []


async def status_with(client: Client, pending: int) -> Any:
    async def shown() -> Any:
        status = (await client.ask("GET", "/api/v1/async/queue/status")).body
        return status if status["pending"] == pending else None

    return await until(shown)


async def test_the_queue_s_figures_are_those_of_the_tables(client: Client) -> None:
    empty = (await client.ask("GET", "/api/v1/async/queue/status")).body
    assert (empty["pending"], empty["oldestSeconds"], empty["deadLetters"]) == (0, 0, 0)
    for user in range(5):
        await client.buy(user=user, path="async")
    full = await status_with(client, pending=5)  # figures are a second old at most
    assert full["oldestSeconds"] > 0
    assert full["acceptedPerSecond"] == 0.5
    for event in await client.log("ecommerce.order.order.created.v1"):
        await client.handle_event("reserve", event)
    done = await status_with(client, pending=0)
    assert done["decidedPerSecond"] == 0.5


async def test_health_says_up_while_a_purchase_can_succeed(client: Client) -> None:
    for path in ("/api/v1/sync/health", "/api/v1/async/health"):
        answered = await client.ask("GET", path)
        assert (answered.status, answered.body["status"]) == (200, "UP")
