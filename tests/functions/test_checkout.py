"""checkout: sells the available units, once per key, and gives the reason for each refusal."""

import asyncio
from collections import Counter

from tests.client import Client, until

ORDER = {"userId": 7, "items": [{"productId": 2, "qty": 2}, {"productId": 3, "qty": 1}]}


async def test_a_purchase_answers_with_the_confirmed_order_as_the_seed_shows_it(client: Client) -> None:
    sold = await client.buy(product=1, user=12345)
    assert sold.status == 200
    assert sold.body | {"orderId": "", "createdAt": ""} == {
        "orderId": "",
        "status": "CONFIRMED",
        "productId": 1,
        "quantity": 1,
        "userId": 12345,
        "totalAmount": 49.9,
        "currency": "USD",
        "createdAt": "",
    }
    assert (await client.ask("GET", "/api/v1/sync/stock/1")).body == {"productId": 1, "stock": 999}


async def test_a_thousand_buyers_at_once_get_exactly_the_units_there_are(client: Client) -> None:
    await client.restock(1, 50)
    answers = await asyncio.gather(*(client.buy(user=buyer) for buyer in range(1000)))
    assert Counter(answer.status for answer in answers) == {200: 50, 409: 950}
    assert (await client.ask("GET", "/api/v1/sync/stock/1")).body["stock"] == 0
    assert await client.row("SELECT count(*), count(DISTINCT buyer_id) FROM orders") == (50, 50)


async def test_the_same_key_answers_the_same_bytes_and_sells_once(client: Client) -> None:
    first = await client.buy(key="k1")
    again = await client.buy(key="k1")
    assert (again.status, again.body) == (first.status, first.body)
    assert await client.row("SELECT count(*) FROM orders") == (1,)


async def test_the_same_key_with_another_payload_is_refused(client: Client) -> None:
    await client.buy(key="k1")
    reused = await client.buy(key="k1", qty=2)
    assert (reused.status, reused.body["type"].rsplit("/")[-1]) == (422, "idempotency-key-reused")


async def test_a_double_click_is_one_order_and_the_second_click_is_asked_to_retry(client: Client) -> None:
    answers = await asyncio.gather(*(client.buy(key="k1") for _ in range(10)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert {a.body["type"].rsplit("/")[-1] for a in answers if a.status == 409} <= {"request-in-flight"}
    assert len({a.body["orderId"] for a in answers if a.status == 200}) == 1
    assert await client.row("SELECT count(*) FROM orders") == (1,)


async def test_a_winner_s_retry_after_sold_out_gets_the_stored_reply(client: Client) -> None:
    await client.restock(1, 1)
    won = await client.buy(user=1, key="mine")
    for other in range(2, 6):
        assert (await client.buy(user=other)).body["type"].endswith("sold-out")
    again = await client.buy(user=1, key="mine")
    assert (again.status, again.body) == (200, won.body)


async def test_a_sold_out_answer_is_not_stored_so_that_the_key_may_win_later(client: Client) -> None:
    await client.restock(1, 0)
    assert (await client.buy(key="k1")).status == 409
    await client.restock(1, 1)

    async def won() -> bool:
        return (await client.buy(key="k1")).status == 200

    await until(won, within_s=0.5)


async def test_no_one_gets_more_than_the_limit_on_any_path(client: Client) -> None:
    answers = await asyncio.gather(*(client.buy(user=7) for _ in range(5)))
    assert Counter(answer.status for answer in answers) == {200: 2, 409: 3}
    assert {a.body["type"].rsplit("/")[-1] for a in answers if a.status == 409} == {"limit-reached"}


async def test_async_purchase_is_accepted_and_its_tracking_id_reports_the_state(client: Client) -> None:
    accepted = await client.buy(path="async", key="k1")
    assert accepted.status == 202
    tracked = await client.ask("GET", accepted.body["statusUrl"])
    assert tracked.body == {
        "trackingId": accepted.body["trackingId"],
        "orderId": accepted.body["orderId"],
        "status": "PENDING",
    }
    assert accepted.headers["location"] == accepted.body["statusUrl"]
    assert (await client.buy(path="async", key="k1")).body == accepted.body


async def test_async_answers_202_when_sold_out_too(client: Client) -> None:
    await client.restock(1, 0)
    assert (await client.buy(path="async")).status == 202


async def test_an_order_of_several_products_is_created_pending(client: Client) -> None:
    created = await client.ask("POST", "/api/v1/orders", ORDER, idempotency_key="o1")
    assert (created.status, created.body["status"], created.body["totalAmount"]) == (201, "PENDING", 152.5)
    assert created.headers["location"] == f"/api/v1/orders/{created.body['orderId']}"
    shown = await client.ask("GET", created.headers["location"])
    assert shown.body == created.body


async def test_orders_need_an_idempotency_key(client: Client) -> None:
    missing = await client.ask("POST", "/api/v1/orders", ORDER)
    assert (missing.status, missing.body["type"].rsplit("/")[-1]) == (400, "idempotency-key-missing")


async def test_concurrent_orders_of_one_key_are_one_order(client: Client) -> None:
    asked = (client.ask("POST", "/api/v1/orders", ORDER, idempotency_key="o1") for _ in range(8))
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["orderId"] for answer in answers}) == 1
    assert await client.row("SELECT count(*) FROM orders") == (1,)


async def test_what_is_wrong_with_a_body_is_said_with_its_place(client: Client) -> None:
    for body, output in [
        (b"{", "JSON"),
        ({"productId": 1}, "userId"),
        ({"productId": 1, "userId": 2, "quantity": 0}, "$.quantity"),
        ({"productId": "", "userId": 2}, "$.productId"),
        ([], "array"),
    ]:
        refused = await client.ask("POST", "/api/v1/sync/purchase", body)
        assert refused.status == 400
        assert output in refused.body["detail"]


async def test_an_unknown_product_is_404_on_every_path(client: Client) -> None:
    assert (await client.buy(product="nope")).status == 404
    assert (await client.buy(product="nope", path="async")).status == 404


async def test_the_correlation_id_comes_back_and_goes_with_the_events(client: Client) -> None:
    body = {"productId": 1, "userId": 7}
    sold = await client.ask("POST", "/api/v1/sync/purchase", body, correlation_id="corr-1")
    assert sold.headers["correlation-id"] == "corr-1"
    reported = [event for event in await client.log() if event.subject == sold.body["orderId"]]
    assert [event.type.split(".")[-2] for event in reported] == ["created", "confirmed"]
    assert {event.extensions["correlationid"] for event in reported} == {"corr-1"}
    assert [event.sequence for event in reported] == [1, 2]


async def test_a_sale_that_has_not_started_sells_nothing(client: Client) -> None:
    await client.rows("UPDATE flash_sales SET starts_at = now() + interval '1 hour' RETURNING 1")
    early = await client.buy()
    assert early.body["type"].endswith("sale-not-open")
    assert (await client.buy(path="async")).body["type"].endswith("sale-not-open")
    assert (await client.ask("GET", "/api/v1/sync/stock/1")).body["stock"] == 1000


async def test_a_bad_order_in_a_batch_fails_alone(client: Client) -> None:
    await client.buy(user=1, key="taken")
    answers = await asyncio.gather(
        client.buy(user=2), client.buy(user=1, key="taken", qty=2), client.buy(product="nope"), client.buy(user=3)
    )
    assert [answer.status for answer in answers] == [200, 422, 404, 200]
