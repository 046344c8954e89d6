"""Catalogue, flash sales and carts on a cluster: changed with permission, read through copies, ordered completely."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import randrange
from secrets import token_hex
from typing import Any

import httpx
import pytest

from pulsecart.admin.which_shop import DATA
from tests.cluster.shop import Cluster, until
from tests.tokens import bearer

pytestmark = pytest.mark.timeout(300)
Ask = Callable[..., Awaitable[httpx.Response]]


def token(user: int, *roles: str) -> dict[str, str]:
    """Return a token as scripts/token prints it, of the issuer that scripts/deploy configured on the cluster."""
    return bearer(DATA, str(user), *roles)


@pytest.fixture
def admin(cluster: Cluster) -> Ask:
    def ask(method: str, path: str, body: Any = None, **headers: str) -> Awaitable[httpx.Response]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | token(1, "admin")
        return cluster.http.request(method, path, json=body, headers=sent)

    return ask


async def lamp(admin: Ask) -> tuple[str, dict[str, Any], str]:
    """Create a product with units to sell; return (path, body, ETag)."""
    body = {"sku": f"LAMP-{token_hex(4)}", "name": "Lamp", "price": 40, "category": "Home"}
    made = await admin("POST", "/api/v1/products", body)
    assert made.status_code == 201, made.text
    product = made.json()["productId"]
    stocked = await admin("PUT", f"/api/v1/sync/stock/{product}/reset?stock=10")
    assert stocked.status_code == 200, stocked.text
    return made.headers["location"], body, made.headers["etag"]


async def test_the_catalogue_is_changed_by_who_keeps_it_and_by_no_one_else(cluster: Cluster, admin: Ask) -> None:
    path, body, _ = await lamp(admin)
    for headers, status in (({}, 401), (token(7, "customer"), 403), ({"authorization": "Bearer x.y.z"}, 401)):
        for method, where in (("POST", "/api/v1/products"), ("PUT", path), ("DELETE", path)):
            refused = await cluster.http.request(method, where, json=body, headers={"if-match": "*", **headers})
            assert refused.status_code == status, (method, where, refused.text)
    assert (await cluster.http.get(path)).json()["name"] == "Lamp"


async def test_a_new_price_reaches_every_reader_by_its_event(cluster: Cluster, admin: Ask) -> None:
    path, body, etag = await lamp(admin)
    first = await cluster.http.get(path)
    assert (first.json()["price"], first.headers["etag"]) == (40.0, etag)
    assert (await cluster.http.get(path, headers={"if-none-match": etag})).status_code == 304
    changed = await admin("PUT", path, body | {"price": 35, "name": "Better lamp"}, if_match=etag)
    assert changed.status_code == 200, changed.text
    assert (await admin("PUT", path, body, if_match=etag)).status_code == 412

    async def seen() -> bool:
        return bool((await cluster.http.get(path)).json()["price"] == 35.0)

    async def found() -> bool:
        listed = (await cluster.http.get("/api/v1/products", params={"q": f'"{body["sku"]}"'})).json()["products"]
        return [one["name"] for one in listed] == ["Better lamp"]

    await until(seen, 60, "the copy of the old price is stale")
    await until(found, 60, "the index has the new name")


async def test_a_sale_begins_and_ends_by_itself_and_charges_what_was_accepted(cluster: Cluster, admin: Ask) -> None:
    path, _, _ = await lamp(admin)
    product = path.rpartition("/")[2]
    now = datetime.now(UTC)
    asked = {
        "productId": product,
        "price": 20,
        "units": 5,
        "buyerLimit": 2,
        "startsAt": (now + timedelta(seconds=5)).isoformat(),
        "endsAt": (now + timedelta(minutes=30)).isoformat(),
    }
    made = await admin("POST", "/api/v1/flash-sales", asked)
    assert made.status_code == 201, made.text
    sale = f"/api/v1/flash-sales/{made.json()['saleId']}"

    async def stands(status: str) -> None:
        async def does() -> bool:
            return bool((await cluster.http.get(sale)).json()["status"] == status)

        await until(does, 60, f"the sale is {status}")

    await stands("STARTED")

    async def buy(user: int, price: float) -> httpx.Response:
        body = {"productId": product, "quantity": 1, "userId": user, "expectedPrice": price}
        return await cluster.http.post("/api/v1/sync/purchase", json=body)

    buyer = randrange(10**9)
    dearer = await buy(buyer, 40)
    assert (dearer.status_code, dearer.json()["type"].rpartition("/")[2]) == (409, "price-changed")
    bought = await buy(buyer, 20)
    assert bought.status_code == 200, bought.text
    order_id = bought.json()["orderId"]
    await cluster.becomes(order_id, "FULFILLED")
    charged = "SELECT amount_minor FROM payments WHERE order_id = %s AND status = 'CHARGED'"
    assert await cluster.row(charged, order_id) == (2000,)
    ended = await admin("PUT", sale, {"endsAt": now.isoformat()}, if_match="*")
    assert ended.status_code == 200, ended.text
    await stands("ENDED")
    assert (await buy(buyer + 1, 20)).json()["type"].endswith("/price-changed")


async def test_a_cart_is_merged_on_sign_in_ordered_whole_and_seen_in_its_passport(cluster: Cluster, admin: Ask) -> None:
    paths = [(await lamp(admin))[0] for _ in range(2)]
    user = randrange(10**9)
    mine, others = token(user, "customer"), token(user + 1, "customer")
    cart = (await cluster.http.post("/api/v1/carts")).json()["cartId"]
    for path in paths:
        put = await cluster.http.put(f"/api/v1/carts/{cart}/items/{path.rpartition('/')[2]}", json={"qty": 2})
        assert put.status_code == 200, put.text
    merged = await cluster.http.post(f"/api/v1/carts/{cart}/merge", headers=mine)
    assert merged.status_code == 200, merged.text
    own = f"/api/v1/carts/{merged.json()['cartId']}"
    assert (await cluster.http.get(own, headers=others)).status_code == 403
    sent = {**mine, "idempotency-key": token_hex(8)}
    first, again = [await cluster.http.post(f"{own}/checkout", json={}, headers=sent) for _ in range(2)]
    assert first.status_code == 200, first.text
    assert again.json() == first.json()
    order = first.json()["orderId"]
    await cluster.becomes(order, "FULFILLED")
    assert await cluster.row("SELECT sum(qty), count(*) FROM order_items WHERE order_id = %s", order) == (4, 2)
    listed = (await cluster.http.get("/api/v1/orders", headers=mine)).json()["orders"]
    assert [one["orderId"] for one in listed] == [order]
    passport = await cluster.http.get(f"/api/v1/orders/{order}/passport", headers=mine)
    assert passport.status_code == 200, passport.text
    steps = [step["status"] for step in passport.json()["steps"]]
    assert steps[-3:] == ["CONFIRMED", "PAID", "FULFILLED"]
    assert (await cluster.http.get(f"/api/v1/orders/{order}/passport", headers=others)).status_code == 403
