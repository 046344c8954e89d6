"""products: a catalogue of versions, each with its price, its event and its place in every list."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from runtime.demo import GOODS
from tests.client import Answered, Client
from tests.functions.conftest import Strict

TEA = {"sku": "TEA-1", "name": "Green tea", "price": 12.5, "category": "Pantry", "description": "Loose leaves"}


async def made(client: Client, **members: Any) -> Answered:
    answered = await client.ask("POST", "/api/v1/products", {**TEA, **members})
    assert answered.status == 201, answered
    return answered


async def change(client: Client, answered: Answered, **members: Any) -> Answered:
    """PUT of a product as it was answered, but for these members."""
    body = {name: answered.body[name] for name in ("sku", "name", "price", "currency", "category", "description")}
    path = f"/api/v1/products/{answered.body['productId']}"
    return await client.ask("PUT", path, body | members, if_match=answered.headers["etag"])


async def names(client: Client, query: str = "") -> list[str]:
    answered = await client.ask("GET", f"/api/v1/products?limit=100&{query}")
    assert answered.status == 200, answered
    return [product["name"] for product in answered.body["products"]]


async def hear_updates(client: Client) -> None:
    for event in await client.log("ecommerce.product.product.updated.v1"):
        assert await client.hear("refresh_products", event) == 204


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
    told = [e for e in await client.log("ecommerce.product.product.updated.v1") if e.subject == first.body["productId"]]
    assert [event.sequence for event in told] == [1, 2, 3]
    assert [b"ACTIVE" in (event.data or b"") for event in told] == [True, True, False]
    assert b'"price":9.99' in (told[1].data or b"")


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


async def test_who_has_the_newest_version_is_told_so_without_it(client: Client) -> None:
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
    assert [told["price"] for told in history] == [10, 12, 12, 8]
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
    assert "Gooseneck kettle" not in await names(client)
    assert (await client.ask("GET", f"/api/v1/orders/{sold.body['orderId']}")).body["items"][0]["productId"] == 2
    for way in ("sync", "async"):
        assert (await client.buy(product=2, path=way)).status == 404


async def test_an_order_that_waits_when_its_product_is_deleted_is_canceled(client: Client) -> None:
    waiting = await client.buy(product=2, path="async")
    await client.ask("DELETE", "/api/v1/products/2", if_match="*")
    for event in await client.log("ecommerce.order.order.created.v1"):
        assert await client.hear("reserve", event) == 204
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


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-price", "created", "-created"])
@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_pages_hold_every_product_once_in_the_order_asked_for(client: Client, sort: str, limit: int) -> None:
    found: list[Any] = []
    path = f"/api/v1/products?sort={sort}&limit={limit}"
    cursor = ""
    while True:
        answered = await client.ask("GET", path + cursor)
        found += answered.body["products"]
        if "next" not in answered.body:
            break
        cursor = f"&cursor={answered.body['next']}"
    assert len({product["productId"] for product in found}) == len(found) == len(GOODS)
    keys = [product[sort.strip("-")].lower() if "name" in sort else product.get(sort.strip("-")) for product in found]
    if "created" not in sort:  # the demo is made in one moment
        assert keys == sorted(keys, reverse=sort[0] == "-")


async def test_a_page_goes_on_where_it_was_though_the_catalogue_changes(client: Client) -> None:
    first = (await client.ask("GET", "/api/v1/products?sort=name&limit=4")).body
    await made(client, name="Aaa, before all of them")
    deleted = first["products"][-1]["productId"]
    await client.ask("DELETE", f"/api/v1/products/{deleted}", if_match="*")
    rest = (await client.ask("GET", f"/api/v1/products?sort=name&limit=100&cursor={first['next']}")).body["products"]
    assert len(rest) == len(GOODS) - 4
    assert not {p["productId"] for p in rest} & {p["productId"] for p in first["products"]}


async def test_a_list_shows_what_was_asked_for(client: Client) -> None:
    assert await names(client, "category=Kitchen&sort=name") == [
        "Gooseneck kettle",
        "Hand coffee grinder",
        "Iron frying pan",
    ]
    assert await names(client, "priceMin=100&sort=price") == ["Low-profile keyboard", "Pulse One headphones"]
    assert await names(client, "priceMax=26.50&sort=-price") == ["Insulated bottle", "Dotted notebook"]
    assert await names(client, "available=false") == ["Storm umbrella"]
    assert len(await names(client, "available=true")) == len(GOODS) - 1
    assert await names(client, "category=Nothing") == []
    await made(client, price=100, currency="JPY")
    assert await names(client, "priceMin=100&currency=JPY") == ["Green tea"]
    assert "Green tea" not in await names(client, "sort=price")


async def test_a_list_shows_units_and_the_open_sale(client: Client) -> None:
    await client.buy(product=2, qty=3)
    shown = {p["productId"]: p for p in (await client.ask("GET", "/api/v1/products?limit=100")).body["products"]}
    assert (shown[2]["available"], shown[28]["available"]) == (497, 0)
    assert (shown[1]["price"], shown[1]["sale"]["price"], shown[1]["sale"]["saleId"]) == (129, 49.9, "flash-1")
    assert "sale" not in shown[2]


async def test_words_are_found_in_names_before_descriptions_and_whatever_their_form(client: Client) -> None:
    await hear_updates(client)
    assert await names(client, "q=headphone") == ["Pulse One headphones"]
    assert await names(client, "q=PC-LAMP") == ["Desk lamp"]
    assert set(await names(client, "q=wireless")) == {
        "Pulse One headphones",
        "Pulse Mini earbuds",
        "Low-profile keyboard",
    }
    first = (await names(client, "q=kitchen"))[0]
    assert first == "Kitchen speaker"
    assert await names(client, "q=pulse+-wireless") == []
    assert await names(client, "q=wireless&category=Audio&sort=price") == ["Pulse Mini earbuds", "Pulse One headphones"]
    for nothing in ("the", "%22", "%26%7C!", "x%00"):
        assert (await client.ask("GET", f"/api/v1/products?q={nothing}")).status in (200, 400)


async def test_a_new_shop_s_goods_are_found_before_any_event_is_heard(client: Client) -> None:
    assert await names(client, "q=umbrella") == ["Storm umbrella"]


async def test_pages_of_a_search_hold_each_find_once(client: Client) -> None:
    await hear_updates(client)
    found, cursor = [], ""
    while True:
        answered = (await client.ask("GET", f"/api/v1/products?q=it+or+wireless+or+kitchen&limit=2{cursor}")).body
        found += [product["productId"] for product in answered["products"]]
        if "next" not in answered:
            break
        cursor = f"&cursor={answered['next']}"
    assert len(found) == len(set(found)) >= 6


async def test_a_search_finds_the_newest_version_alone(client: Client) -> None:
    first = await made(client)
    await change(client, first, name="Roasted barley")
    await hear_updates(client)
    assert await names(client, "q=green") == []
    assert await names(client, "q=barley") == ["Roasted barley"]
    await client.ask("DELETE", first.headers["location"], if_match="*")
    await hear_updates(client)
    assert await names(client, "q=barley") == []


@pytest.mark.parametrize(
    "query",
    [
        "sort=colour",
        "sort=relevance",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=²",
        "priceMin=-1",
        "priceMin=nan",
        "priceMax=1.005",
        "available=perhaps",
        "currency=us",
        "cursor=x",
        "cursor=%E2%82%AC",
        "sort=price&cursor=WyJwcmljZSIsIm5vbmUiLCIxIl0",
        "sort=created&cursor=WyJjcmVhdGVkIiwiOTk5OTk5LTEtMSIsIjEiXQ",
        "sort=name&cursor=WyJwcmljZSIsIjEiLCIxIl0",
        "q=" + "x" * 201,
    ],
)
async def test_a_question_that_cannot_be_answered_is_400(client: Client, query: str) -> None:
    assert (await client.ask("GET", f"/api/v1/products?{query}")).status == 400


async def test_without_the_demo_s_trust_only_the_signed_in_change_the_catalogue(strict: Strict) -> None:
    assert (await strict.ask("POST", "/api/v1/products", TEA)).status == 401
    assert (await strict.ask("PUT", "/api/v1/products/2", TEA, if_match="*")).status == 401
    assert (await strict.ask("DELETE", "/api/v1/products/2", if_match="*")).status == 401
    assert (await strict.ask("POST", "/api/v1/products", TEA, **strict.as_buyer("7"))).status == 201
    assert (await strict.ask("GET", "/api/v1/products/2")).status == 200


async def test_a_change_beside_one_that_lasts_is_told_so_at_once(client: Client, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1 FROM products WHERE product_id = '2' FOR UPDATE")
        answered = await client.ask("PUT", "/api/v1/products/2", TEA, if_match="*")
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
