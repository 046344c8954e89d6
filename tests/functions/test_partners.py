"""partners: whose a product is, and the event sources that a partner signs with."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pulsecart.runtime.deps import close_deps, open_deps
from tests.client import Answered, Client
from tests.functions.partner_shop import PartnerShop

PRODUCTS = "/api/v1/partners/acme/products"
SOURCES = "/api/v1/partners/acme/sources"


@pytest.fixture
def shop(client: Client) -> PartnerShop:
    return PartnerShop(client)


def problem(answered: Answered) -> tuple[int, str]:
    return answered.status, answered.body["type"].rpartition("/")[2]


async def test_a_product_is_given_to_one_partner_and_taken_again(shop: PartnerShop) -> None:
    ask = shop.client.ask
    for _ in range(2):
        assert (await ask("PUT", f"{PRODUCTS}/1")).status == 204
    assert (await ask("GET", PRODUCTS)).body == {"partnerId": "acme", "productIds": [1]}
    assert problem(await ask("PUT", "/api/v1/partners/other/products/1")) == (409, "product-assigned")
    assert problem(await ask("DELETE", "/api/v1/partners/other/products/1")) == (404, "unknown-product")
    assert (await ask("DELETE", f"{PRODUCTS}/1")).status == 204
    assert problem(await ask("DELETE", f"{PRODUCTS}/1")) == (404, "unknown-product")
    assert (await ask("PUT", "/api/v1/partners/other/products/1")).status == 204
    assert problem(await ask("PUT", f"{PRODUCTS}/no-such")) == (404, "unknown-product")
    assert problem(await ask("PUT", "/api/v1/partners/a b/products/2")) == (400, "partner-malformed")


async def test_two_partners_at_once_do_not_both_get_a_product(shop: PartnerShop) -> None:
    paths = [f"/api/v1/partners/p{at}/products/1" for at in range(8)]
    answers = await asyncio.gather(*(shop.client.ask("PUT", path) for path in paths))
    assert sorted(answer.status for answer in answers) == [204] + [409] * 7


async def test_the_list_has_pages(shop: PartnerShop) -> None:
    rows = await shop.client.rows("SELECT product_id FROM products ORDER BY product_id LIMIT 5")
    wanted = [int(product_id) for (product_id,) in rows]
    for product in reversed(wanted):
        assert (await shop.client.ask("PUT", f"{PRODUCTS}/{product}")).status == 204
    found, query = [], "?limit=2"
    while query:
        page = (await shop.client.ask("GET", PRODUCTS + query)).body
        found += page["productIds"]
        query = f"?limit=2&cursor={page['next']}" if "next" in page else ""
    assert found == wanted
    assert problem(await shop.client.ask("GET", f"{PRODUCTS}?limit=0")) == (400, "limit-malformed")


async def test_a_product_of_an_order_that_waits_for_its_partner_is_not_taken(shop: PartnerShop) -> None:
    await shop.own()
    paid = await shop.paid()
    await shop.client.handle_event("fulfil", paid)
    answered = await shop.client.ask("DELETE", f"{PRODUCTS}/1")
    assert problem(answered) == (409, "orders-waiting")
    assert answered.body["orders"] == 1
    assert (await shop.client.ask("POST", f"/api/v1/orders/{paid.partitionkey}/cancel")).status == 200
    assert (await shop.client.ask("DELETE", f"{PRODUCTS}/1")).status == 204


async def test_a_secret_is_shown_once_and_stored_sealed(shop: PartnerShop) -> None:
    made = await shop.client.ask("POST", SOURCES)
    assert made.headers["cache-control"] == "no-store"
    assert made.headers["location"] == f"{SOURCES}/{made.body['sourceId']}"
    listed = (await shop.client.ask("GET", SOURCES)).body["sources"]
    assert [one["url"] for one in listed] == [made.body["url"]] == [f"/events/{made.body['sourceId']}"]
    assert "secret" not in listed[0]
    (stored,) = await shop.client.row("SELECT sealed FROM partner_source_secrets")
    assert made.body["secret"].encode() not in bytes(stored)


async def test_a_source_is_ended_once(shop: PartnerShop) -> None:
    source = await shop.source()
    assert (await shop.client.ask("DELETE", f"{SOURCES}/{source}")).status == 204
    for method, path in (("DELETE", ""), ("POST", "/secrets")):
        assert problem(await shop.client.ask(method, f"{SOURCES}/{source}{path}")) == (404, "unknown-source")
    assert problem(await shop.client.ask("DELETE", f"{SOURCES}/no-id")) == (404, "unknown-source")
    assert (await shop.client.ask("GET", SOURCES)).body == {"sources": []}


async def test_sources_and_secrets_are_bounded(shop: PartnerShop) -> None:
    for _ in range(100):
        source = await shop.source()
    assert problem(await shop.client.ask("POST", SOURCES)) == (409, "too-many-sources")
    for _ in range(4):
        assert (await shop.client.ask("POST", f"{SOURCES}/{source}/secrets")).status == 200
    assert problem(await shop.client.ask("POST", f"{SOURCES}/{source}/secrets")) == (409, "too-many-secrets")
    assert (await shop.client.ask("POST", f"{SOURCES}/{source}/secrets", {"overlapS": 0})).status == 200


async def test_without_a_key_no_secret_is_stored(client: Client) -> None:
    opened = open_deps(replace(client.deps.settings, webhook_keys=""))
    try:
        assert problem(await Client(opened).ask("POST", SOURCES)) == (503, "no-secrets-here")
    finally:
        await close_deps(opened)
    assert await client.row("SELECT count(*) FROM partner_sources") == (0,)


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/products", "partner"),
    ("PUT", "/products/1", "admin"),
    ("DELETE", "/products/1", "admin"),
    ("POST", "/sources", "partner"),
    ("GET", "/sources", "partner"),
    ("POST", "/sources/{source}/secrets", "partner"),
    ("DELETE", "/sources/{source}", "partner"),
]
CALLERS = [("acme", "partner"), ("other", "partner"), ("acme", "customer"), ("an-admin", "admin")]


@pytest.mark.parametrize(("user", "role"), CALLERS)
@pytest.mark.parametrize(("method", "path", "least"), CALLS, ids=lambda value: str(value))
async def test_a_partner_manages_its_own_things_and_an_admin_everybody_s(
    shop: PartnerShop, method: str, path: str, least: str, user: str, role: str
) -> None:
    await shop.own()
    source = await shop.source()
    called = f"/api/v1/partners/acme{path.format(source=source)}"
    answered = await shop.client.ask(method, called, **shop.client.signed(user, role))
    may = role == "admin" or (role == "partner" and user == "acme" and least == "partner")
    assert (answered.status != 403) == may, answered
    assert answered.status < 300 or not may, answered
