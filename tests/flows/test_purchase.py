"""A purchase on the whole running shop goes from POST to FULFILLED, on every path; a clean audit follows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from pulsecart.admin.audit.audit import audit
from tests.client import until
from tests.local.running_shop import RunningShop

WITHIN_S = 20.0
CART = {"userId": 7, "items": [{"productId": 2, "qty": 2}, {"productId": 3, "qty": 1}]}


@pytest.fixture
async def http(shop: RunningShop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=shop.url, timeout=20) as client:
        yield client


async def becomes(http: httpx.AsyncClient, url: str, status: str) -> dict[str, Any]:
    """Wait until the document at ``url`` has this status."""

    async def shown() -> Any:
        document = (await http.get(url)).json()
        return document if document["status"] == status else None

    document: dict[str, Any] = await until(shown, WITHIN_S)
    return document


def assert_books_are_clean(shop: RunningShop) -> None:
    report = audit(shop.database_url, shop.redis_url, settle_timeout_s=WITHIN_S)
    assert report.clean, report.findings
    assert not report.unsettled
    assert not report.books.dead_letters


async def test_a_synchronous_purchase_is_fulfilled(http: httpx.AsyncClient, shop: RunningShop) -> None:
    sold = await http.post("/api/v1/sync/purchase", json={"productId": 1, "quantity": 1, "userId": 12345})
    assert (sold.status_code, sold.json()["status"]) == (200, "CONFIRMED")
    order = await becomes(http, f"/api/v1/orders/{sold.json()['orderId']}", "FULFILLED")
    assert order["totalAmount"] == sold.json()["totalAmount"] == 49.9

    async def listed() -> bool:
        shown = (await http.get("/api/v1/customers/12345/orders")).json()["orders"]
        return [one["status"] for one in shown] == ["FULFILLED"]

    await until(listed, WITHIN_S)
    assert (await http.get("/api/v1/sync/stock/1")).json()["stock"] == 999
    assert_books_are_clean(shop)


async def test_an_asynchronous_purchase_is_fulfilled(http: httpx.AsyncClient, shop: RunningShop) -> None:
    accepted = await http.post("/api/v1/async/purchase", json={"productId": 1, "quantity": 2, "userId": 7})
    assert accepted.status_code == 202
    await becomes(http, accepted.json()["statusUrl"], "FULFILLED")
    assert_books_are_clean(shop)


async def test_a_cart_is_fulfilled(http: httpx.AsyncClient, shop: RunningShop) -> None:
    created = await http.post("/api/v1/orders", json=CART, headers={"Idempotency-Key": "cart-1"})
    assert created.status_code == 201
    order = await becomes(http, created.headers["location"], "FULFILLED")
    assert order["totalAmount"] == created.json()["totalAmount"]
    again = await http.post("/api/v1/orders", json=CART, headers={"Idempotency-Key": "cart-1"})
    assert (again.status_code, again.content) == (201, created.content)
    assert_books_are_clean(shop)


async def test_a_declined_payment_gives_the_unit_to_who_comes_next(http: httpx.AsyncClient, shop: RunningShop) -> None:
    await http.put("/api/v1/sync/stock/1/reset?stock=1")
    await http.put("/api/v1/payments/simulator", json={"mode": "decline"})
    declined = (await http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": 1})).json()["orderId"]
    order = await becomes(http, f"/api/v1/orders/{declined}", "CANCELED")
    assert order["reason"] == "PAYMENT_DECLINED"
    await http.put("/api/v1/payments/simulator", json={"mode": "approve"})

    async def sold() -> Any:
        bought = await http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": 2})
        return bought.json() if bought.status_code == 200 else None

    await becomes(http, f"/api/v1/orders/{(await until(sold, WITHIN_S))['orderId']}", "FULFILLED")
    assert_books_are_clean(shop)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_crowd_on_every_path_buys_what_there_is_and_every_order_comes_to_an_end(
    start_shop: Callable[..., RunningShop], workers: int
) -> None:
    shop = start_shop(workers=workers)
    async with httpx.AsyncClient(base_url=shop.url, timeout=30) as http:
        await http.put("/api/v1/sync/stock/1/reset?stock=60")
        await http.put("/api/v1/payments/simulator", json={"mode": "decline", "share": 0.2})
        answers = Counter(await asyncio.gather(*(_buy(http, user) for user in range(240))))
        assert set(answers) <= {200, 201, 202, 409}

        async def ended() -> bool:
            return bool((await http.get("/api/v1/async/queue/status")).json()["pending"] == 0)

        await until(ended, WITHIN_S)
    assert_books_are_clean(shop)
    (product, *_) = audit(shop.database_url, shop.redis_url).books.products
    assert (product.initial, product.held) == (60, 0)
    assert product.left + product.sold == 60


async def _buy(http: httpx.AsyncClient, user: int) -> int:
    body = {"productId": 1, "userId": user}
    match user % 3:
        case 0:
            answered = await http.post("/api/v1/sync/purchase", json=body)
        case 1:
            answered = await http.post("/api/v1/async/purchase", json=body)
        case _:
            cart = {"userId": user, "items": [{"productId": 1, "qty": 1}, {"productId": 4, "qty": 1}]}
            answered = await http.post("/api/v1/orders", json=cart, headers={"Idempotency-Key": f"k{user}"})
    return answered.status_code
