"""products: lists each product once, in the requested order and with the requested filters, and searches words."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from pulsecart.admin.demo import GOODS
from tests.client import Client
from tests.functions.test_products import change, made

NUL = "1\0"
EXTREMES = ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "10000-01-01 00:00:00+00", "2026-01-01T00:00:00")


def place(sort: str, key: str, product_id: str = "1") -> str:
    """Return a cursor that the shop never issued."""
    return urlsafe_b64encode(json.dumps((sort, key, product_id)).encode()).decode().rstrip("=")


async def names(client: Client, query: str = "") -> list[str]:
    answered = await client.ask("GET", f"/api/v1/products?limit=100&{query}")
    assert answered.status == 200, answered
    return [product["name"] for product in answered.body["products"]]


async def handle_updates(client: Client) -> None:
    for event in await client.log("ecommerce.product.product.updated.v1"):
        assert await client.handle_event("refresh_products", event) == 204


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


async def test_categories_are_those_of_what_can_be_bought(client: Client) -> None:
    async def counted() -> dict[str, int]:
        found = (await client.ask("GET", "/api/v1/categories")).body["categories"]
        assert [one["name"] for one in found] == sorted(one["name"] for one in found)
        return {one["name"]: one["products"] for one in found}

    before = await counted()
    assert sum(before.values()) == len(GOODS)
    made = [
        await client.ask("POST", "/api/v1/products", {"sku": f"X-{n}", "name": "X", "price": 1, "category": category})
        for n, category in enumerate(("Zebras", "Zebras", ""))
    ]
    assert await counted() == before | {"Zebras": 2}
    for one in made:
        await client.ask("DELETE", one.headers["location"], if_match=one.headers["etag"])
    assert await counted() == before


async def test_words_are_found_in_names_before_descriptions_and_whatever_their_form(client: Client) -> None:
    await handle_updates(client)
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


async def test_a_new_shop_s_goods_are_found_before_any_event_is_received(client: Client) -> None:
    assert await names(client, "q=umbrella") == ["Storm umbrella"]


async def test_pages_of_a_search_hold_each_find_once(client: Client) -> None:
    await handle_updates(client)
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
    await handle_updates(client)
    assert await names(client, "q=green") == []
    assert await names(client, "q=barley") == ["Roasted barley"]
    await client.ask("DELETE", first.headers["location"], if_match="*")
    await handle_updates(client)
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
        *(f"sort={sort}&cursor={place(sort, key)}" for sort in ("price", "created") for key in ("", "x", "1e9", "NaN")),
        *(f"sort=price&cursor={place('price', key)}" for key in (str(2**63), str(-(2**63) - 1), "9" * 400, "1\0")),
        *(f"sort=created&cursor={place('created', key)}" for key in EXTREMES),
        f"q=lamp&sort=relevance&cursor={place('relevance', 'inf')}",
        f"sort=name&cursor={place('name', NUL)}",
        f"sort=name&cursor={place('name', 'a', NUL)}",
    ],
)
async def test_a_question_that_cannot_be_answered_is_400(client: Client, query: str) -> None:
    assert (await client.ask("GET", f"/api/v1/products?{query}")).status == 400


async def test_a_row_that_cannot_be_read_is_not_the_fault_of_who_asks(client: Client) -> None:
    async with client.deps.db.transaction() as tx:
        await tx.execute("ALTER TABLE flash_sales DROP CONSTRAINT flash_sales_years")
        await tx.execute("UPDATE flash_sales SET ends_at = '10000-01-01Z'")
    assert (await client.ask("GET", "/api/v1/products")).status == 500


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2b14:00", "1999-12-31", "3000-01-01"])
async def test_a_price_of_a_year_that_is_not_kept_is_400(client: Client, at: str) -> None:
    answered = await client.ask("GET", f"/api/v1/products/1/price?at={at}")
    assert (answered.status, answered.body["type"].rpartition("/")[2]) == (400, "moment-malformed")
