"""Starts a demo shop with one resource of each kind, for requests of any caller."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from schemathesis.pytest.plugin import SchemathesisFunction

from tests.local.running_shop import RunningShop
from tests.tokens import bearer

PAID = "ecommerce.order.order.paid.v1"


@dataclass(frozen=True)
class Asked:
    """``known``: existing ids, by the path segment before the id; ``admin``: headers of an admin."""

    shop: RunningShop
    known: dict[str, list[str]]
    admin: dict[str, str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Add the operation to the id of each test that schemathesis makes.

    pytest 9.2 composes ids from its own parameters and not from the name that schemathesis gives, so all operations had
    one id: a failure was struck from --last-failed as soon as the next operation passed.
    """
    for item in items:
        if isinstance(item, SchemathesisFunction) and item.id.params is None:
            item._id = item.id.with_params(item.operation_label)


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    shop = RunningShop(tmp_path_factory.mktemp("api") / "shop", environ={"RATE_LIMIT": "0"}).wait_ready()
    admin = bearer(shop.data, "an-admin", "admin")
    try:
        with httpx.Client(base_url=shop.url, timeout=30) as http:
            yield Asked(shop, _something_of_everything(http, admin), admin)
    finally:
        shop.stop()


def _something_of_everything(http: httpx.Client, admin: dict[str, str]) -> dict[str, list[str]]:
    order = _made(http, "/api/v1/sync/purchase", {"productId": 1, "userId": 12345})["orderId"]
    later = _made(http, "/api/v1/async/purchase", {"productId": 1, "userId": 12345})["trackingId"]
    goods = {"sku": "FUZZ-1", "name": "Something", "price": 1.5}
    product = str(_made(http, "/api/v1/products", goods, admin)["productId"])
    sale = {"productId": product, "price": 1, "endsAt": "2100-01-01T00:00:00Z", "units": 1000}
    hook = {"partnerId": "a-partner", "url": "https://hooks.example/", "eventTypes": [PAID]}
    subscription = _made(http, "/api/v1/webhook-subscriptions", hook, admin)["subscriptionId"]
    message = _made(http, f"/api/v1/webhook-subscriptions/{subscription}/example", {"eventType": PAID}, admin)[
        "messageId"
    ]
    source = _made(http, "/api/v1/partners/acme/sources", {}, admin)["sourceId"]
    return {
        "orders": [order, later],
        "purchase": [later],
        "carts": [_made(http, "/api/v1/carts", {})["cartId"], "mine"],
        "flash-sales": [_made(http, "/api/v1/flash-sales", sale, admin)["saleId"]],
        "products": ["1", product],
        "stock": ["1", product],
        "inventory": ["1", product],
        "init": ["1", product],
        "items": ["1", product],
        "customers": ["12345"],
        "webhook-subscriptions": [subscription],
        "webhook-messages": [message],
        "partners": ["acme"],
        "sources": [source],
        "events": [source],
    }


def _made(http: httpx.Client, path: str, body: object, who: dict[str, str] | None = None) -> dict[str, str]:
    reply = http.post(path, json=body, headers={"idempotency-key": str(uuid4()), **(who or {})})
    assert reply.is_success, reply.text
    made: dict[str, str] = reply.json()
    return made
