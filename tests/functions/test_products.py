"""products: each version of a product has its price, its event and its place in every list."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from pulsecart.admin.demo import GOODS
from pulsecart.shop.inventory.gate.gate import Gate, GateLevel
from tests.client import Answered, Client, until

TEA = {"sku": "TEA-1", "name": "Green tea", "price": 12.5, "category": "Pantry", "description": "Loose leaves"}


async def made(client: Client, **members: Any) -> Answered:
    answered = await client.ask("POST", "/api/v1/products", {**TEA, **members})
    assert answered.status == 201, answered
    return answered


async def change(client: Client, answered: Answered, **members: Any) -> Answered:
    """PUT a product as it was returned, with these members changed."""
    body = {name: answered.body[name] for name in ("sku", "name", "price", "currency", "category", "description")}
    path = f"/api/v1/products/{answered.body['productId']}"
    return await client.ask("PUT", path, body | members, if_match=answered.headers["etag"])


async def test_a_product_is_read_as_it_was_made(client: Client) -> None:
    answered = await made(client)
    shown = await client.ask("GET", answered.headers["location"])
    assert (shown.status, shown.body) == (200, answered.body)
    assert shown.body | TEA == shown.body
    assert (shown.body["currency"], shown.body["version"], shown.headers["etag"]) == ("USD", 1, '"1"')


async def test_every_version_says_itself_once_in_the_log(client: Client) -> None:
    first = await made(client)
    second = await change(client, first, price=9.99)
    path = first.headers["location"]
    assert (await client.ask("DELETE", path, if_match=second.headers["etag"])).status == 204
    reported = [
        e for e in await client.log("ecommerce.product.product.updated.v1") if e.subject == first.body["productId"]
    ]
    assert [event.sequence for event in reported] == [1, 2, 3]
    assert [b"ACTIVE" in (event.data or b"") for event in reported] == [True, True, False]
    assert b'"price":9.99' in (reported[1].data or b"")


async def test_no_two_products_ever_have_one_sku(client: Client) -> None:
    first = await made(client)
    second = await client.ask("POST", "/api/v1/products", TEA)
    assert (second.status, second.body["type"], second.body["sku"]) == (
        409,
        "https://pulsecart.dev/problems/sku-taken",
        "TEA-1",
    )
    other = await made(client, sku="TEA-2")
    assert (await change(client, other, sku="TEA-1")).body["type"].endswith("sku-taken")
    await client.ask("DELETE", first.headers["location"], if_match='"1"')
    assert (await client.ask("POST", "/api/v1/products", TEA)).status == 409
    assert await client.row("SELECT count(*) FROM products WHERE sku = 'TEA-1'") == (1,)


async def test_one_sku_asked_for_by_many_at_once_is_one_product(client: Client) -> None:
    answers = await asyncio.gather(*(client.ask("POST", "/api/v1/products", TEA) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7


async def test_the_same_key_makes_one_product_and_gets_one_reply(client: Client) -> None:
    asked = [client.ask("POST", "/api/v1/products", TEA, idempotency_key="k") for _ in range(6)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["productId"] for answer in answers}) == 1
    assert answers[0].headers["location"] == answers[5].headers["location"]
    other = await client.ask("POST", "/api/v1/products", TEA | {"price": 1}, idempotency_key="k")
    assert other.status == 422
    assert other.body["type"].endswith("idempotency-key-reused")


async def test_who_has_the_newest_version_is_informed_without_it(client: Client) -> None:
    path, etag = (await made(client)).headers["location"], '"1"'
    assert (await client.ask("GET", path, if_none_match=etag)).status == 304
    assert (await client.ask("GET", path, if_none_match=f'"0", W/{etag}')).status == 304
    shown = await client.ask("GET", path, if_none_match='"0"')
    assert (shown.status, shown.headers["etag"]) == (200, etag)


async def test_a_change_needs_the_version_that_is_changed(client: Client) -> None:
    first = await made(client)
    path = first.headers["location"]
    for method in ("PUT", "DELETE"):
        assert (await client.ask(method, path, TEA)).status == 428
        for wrong in ('"2"', 'W/"1"', "1", '"1'):
            assert (await client.ask(method, path, TEA, if_match=wrong)).status == 412
    assert (await change(client, first, name="Black tea")).headers["etag"] == '"2"'
    assert (await change(client, first, name="White tea")).status == 412
    assert (await client.ask("PUT", path, TEA, if_match='"1", "2"')).status == 200
    assert (await client.ask("PUT", path, TEA, if_match="*")).status == 200


async def test_of_many_changes_of_one_version_one_is_made(client: Client) -> None:
    first = await made(client)
    answers = await asyncio.gather(*(change(client, first, name=f"Tea {n}") for n in range(8)))
    statuses = [answer.status for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 412, 503}
    assert await client.row("SELECT version FROM products WHERE sku = 'TEA-1'") == (2,)


async def test_the_price_at_any_time_is_a_question(client: Client) -> None:
    first = await made(client, price=10)
    second = await change(client, first, price=12)
    third = await change(client, second, name="Tea")
    fourth = await change(client, third, price=8)
    path = first.headers["location"] + "/price"

    async def price(at: str = "") -> Any:
        return (await client.ask("GET", path + (f"?at={at}" if at else ""))).body

    history = [await price(answered.body["updatedAt"]) for answered in (first, second, third, fourth)]
    assert [reported["price"] for reported in history] == [10, 12, 12, 8]
    assert history[0]["validTo"] == history[1]["validFrom"] == second.body["updatedAt"]
    assert history[1]["validTo"] == history[3]["validFrom"] == fourth.body["updatedAt"]
    now = await price()
    assert (now["price"], now["validTo"]) == (8, None)
    assert (await price("2001-01-01T00:00:00Z"))["status"] == 404
    assert (await price("yesterday"))["status"] == 400
    await client.ask("DELETE", first.headers["location"], if_match="*")
    assert (await price())["status"] == 404
    assert (await price(first.body["updatedAt"]))["price"] == 10


async def test_postgresql_itself_refuses_prices_that_overlap(client: Client, database_url: str) -> None:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.ExclusionViolation):
        connection.execute(
            "INSERT INTO product_price_history SELECT product_id, valid_from + interval '1 second', NULL, 1, 'USD'"
            " FROM product_price_history WHERE product_id = '1'"
        )


async def test_a_price_that_changes_twice_in_a_moment_has_two_versions(client: Client) -> None:
    now = client.deps.clock.now()
    client.deps.clock.now = lambda: now  # type: ignore[method-assign]
    first = await made(client, price=1)
    await change(client, await change(client, first, price=2), price=3)
    rows = await client.rows(
        "SELECT price_minor, valid_from, valid_to FROM product_price_history WHERE product_id = %s ORDER BY valid_from",
        first.body["productId"],
    )
    step = timedelta(microseconds=1)
    assert rows == [(100, now, now + step), (200, now + step, now + 2 * step), (300, now + 2 * step, None)]


async def test_a_deleted_product_is_gone_but_its_orders_are_readable(client: Client) -> None:
    sold = await client.buy(product=2)
    path = "/api/v1/products/2"
    assert (await client.ask("DELETE", path, if_match='"1"')).status == 204
    assert (await client.ask("GET", path)).status == 410
    assert (await client.ask("PUT", path, TEA, if_match="*")).status == 410
    assert (await client.ask("DELETE", path, if_match="*")).status == 410
    listed = (await client.ask("GET", "/api/v1/products?limit=100")).body["products"]
    assert 2 not in {product["productId"] for product in listed}
    assert (await client.ask("GET", f"/api/v1/orders/{sold.body['orderId']}")).body["items"][0]["productId"] == 2
    gate = Gate(client.deps.redis, 1)

    async def without_leases() -> GateLevel | None:  # the lease of a committed claim ends some milliseconds later
        level = await gate.look("2")
        return level if level and not level.leases else None

    before = await until(without_leases)
    for way in ("sync", "async"):
        assert (await client.buy(product=2, path=way)).status == 404
    assert await client.row("SELECT available, epoch FROM stock WHERE product_id = '2'") == (499, 1)
    after = await gate.look("2")
    assert after
    assert (after.left, after.epoch, after.leases) == (before.left, before.epoch, 0)


async def test_an_order_that_waits_when_its_product_is_deleted_is_canceled(client: Client) -> None:
    waiting = await client.buy(product=2, path="async")
    await client.ask("DELETE", "/api/v1/products/2", if_match="*")
    for event in await client.log("ecommerce.order.order.created.v1"):
        assert await client.handle_event("reserve", event) == 204
    tracked = await client.ask("GET", f"/api/v1/async/purchase/{waiting.body['trackingId']}")
    assert tracked.body["status"] == "CANCELED"
    assert await client.row("SELECT available FROM stock WHERE product_id = '2'") == (500,)


async def test_a_product_on_sale_cannot_be_deleted(client: Client) -> None:
    refused = await client.ask("DELETE", "/api/v1/products/1", if_match="*")
    assert (refused.status, refused.body["type"].rpartition("/")[2]) == (409, "product-on-sale")


async def test_what_never_was_is_404(client: Client) -> None:
    for product in ("nope", "9" * 300, "\u00e9", "%"):
        assert (await client.ask("GET", f"/api/v1/products/{product}")).status == 404
        assert (await client.ask("PUT", f"/api/v1/products/{product}", TEA, if_match="*")).status == 404
        assert (await client.ask("DELETE", f"/api/v1/products/{product}", if_match="*")).status == 404
        assert (await client.ask("GET", f"/api/v1/products/{product}/price")).status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"sku": ""},
        {"sku": "a b"},
        {"name": " "},
        {"name": "a\u0000b"},
        {"price": -1},
        {"price": 1.005},
        {"price": 1.5, "currency": "JPY"},
        {"price": "1"},
        {"price": 1e300},
        {"currency": "usd"},
        {"description": "a\u0000b"},
        {"category": "a\nb"},
    ],
)
async def test_a_product_that_cannot_be_is_refused_with_the_reason(client: Client, wrong: dict[str, Any]) -> None:
    answered = await client.ask("POST", "/api/v1/products", TEA | wrong)
    assert answered.status == 400
    assert len(answered.body["detail"]) > 20
    assert await client.row("SELECT count(*) FROM products") == (len(GOODS),)


async def test_a_product_keeps_its_currency(client: Client) -> None:
    assert (await change(client, await made(client), currency="EUR")).body["type"].endswith("currency-fixed")


async def test_a_change_beside_one_that_lasts_is_refused_at_once(client: Client, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1 FROM products WHERE product_id = '2' FOR UPDATE")
        answered = await client.ask("PUT", "/api/v1/products/2", TEA, if_match="*")
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
