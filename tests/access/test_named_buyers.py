"""The token or session names the buyer: a userId beside it must be the same, in the demo too."""

from typing import Any

import httpx
import pytest

from tests.access.conftest import ServedShop

KEY = {"idempotency-key": "k"}
NAMING: dict[str, tuple[str, str, Any]] = {
    "a purchase": ("POST", "/api/v1/sync/purchase", {"productId": 1, "userId": "mallory"}),
    "a purchase for later": ("POST", "/api/v1/async/purchase", {"productId": 1, "userId": "mallory"}),
    "an order": ("POST", "/api/v1/orders", {"userId": "mallory", "items": [{"productId": 1, "qty": 1}]}),
    "a cart": ("POST", "/api/v1/carts", {"userId": "mallory"}),
    "a checkout": ("POST", "/api/v1/carts/mine/checkout", {"userId": "mallory"}),
    "the orders": ("GET", "/api/v1/orders?userId=mallory", None),
    "a session": ("POST", "/api/v1/session", {"userId": "mallory"}),
}


@pytest.mark.parametrize("what", NAMING)
async def test_in_the_demo_alice_s_token_is_not_mallory_s(demo: ServedShop, what: str) -> None:
    method, path, body = NAMING[what]
    refused = await demo.http.request(method, path, json=body, headers=KEY | demo.token("alice", "customer"))
    assert (refused.status_code, refused.json()["type"].rsplit("/")[-1]) == (403, "not-yours")
    allowed = await demo.http.request(method, path, json=body, headers=KEY | demo.token("mallory", "customer"))
    assert allowed.status_code in (200, 201, 202, 204, 404), allowed.text  # 404: the cart does not exist


async def test_in_the_demo_a_session_is_held_to_its_buyer_too(demo: ServedShop) -> None:
    assert (await demo.http.post("/api/v1/session", json={"userId": "alice"})).status_code == 204
    refused = await demo.http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": "mallory"})
    assert refused.status_code == 403
    bought = await demo.http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": "alice"})
    assert (bought.status_code, bought.json()["userId"]) == (200, "alice")


async def test_in_the_demo_who_shows_nothing_is_believed(demo: ServedShop) -> None:
    bought = await demo.http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": "mallory"})
    assert bought.json()["userId"] == "mallory"
    assert (await demo.http.get("/api/v1/orders?userId=mallory")).status_code == 200


@pytest.mark.parametrize("named", ["%00", "a%00b", "a%0A", "a%20b", "%C3%A9", "x" * 65])
async def test_a_name_that_is_no_id_is_400_wherever_it_stands(demo: ServedShop, named: str) -> None:
    listed = await demo.http.get(f"/api/v1/orders?userId={named}")
    expected = "unstorable" if "%00" in named else "user-malformed"  # no query may hold U+0000, whatever its route
    assert (listed.status_code, listed.json()["type"].rsplit("/")[-1]) == (400, expected)
    if named != "a%0A":
        claimed = await demo.http.post("/api/v1/session", json={"userId": str(httpx.QueryParams(f"a={named}")["a"])})
        assert (claimed.status_code, claimed.json()["type"].rsplit("/")[-1]) == (400, "no-buyer")
