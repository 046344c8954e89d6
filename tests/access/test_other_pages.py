"""Browsers send the cookie with requests of other sites' pages too; it is accepted from our own pages only."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden
from pulsecart.runtime.settings import Settings
from pulsecart.serving.csrf import check_origin, check_page
from pulsecart.serving.http import Request
from tests.access.conftest import ServedShop

BUY = "/api/v1/sync/purchase"
BODY = b'{"productId": 1, "userId": "7"}'
EVIL = {"origin": "https://evil.example", "content-type": "text/plain"}
NO_ORIGIN = [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
FOREIGN: list[dict[str, str]] = [EVIL, {"origin": "null"}, {"origin": "http://["}, *NO_ORIGIN]


async def signed_in(open_shop: ServedShop) -> dict[str, str]:
    made = await open_shop.http.post("/api/v1/session", headers=open_shop.token("7", "customer"))
    assert made.status_code == 204
    open_shop.http.cookies.clear()
    return {"cookie": made.headers["set-cookie"].split(";")[0]}


def refused(response: httpx.Response) -> bool:
    if response.status_code != 403:
        return False
    assert response.json()["type"].rsplit("/")[-1] == "foreign-origin"
    return True


@pytest.mark.parametrize("page", FOREIGN)
async def test_with_a_session_another_site_s_page_changes_nothing(open_shop: ServedShop, page: dict[str, str]) -> None:
    session = await signed_in(open_shop)
    assert refused(await open_shop.http.post(BUY, content=BODY, headers=session | page))
    assert refused(await open_shop.http.post("/api/v1/carts", content=b"{}", headers=session | page))
    async with open_shop.deps.db.transaction() as tx:
        assert await tx.row("SELECT count(*) FROM orders") == (0,)


@pytest.mark.parametrize("page", FOREIGN)
async def test_with_an_anonymous_cart_s_cookie_neither(open_shop: ServedShop, page: dict[str, str]) -> None:
    made = await open_shop.http.post("/api/v1/carts")
    open_shop.http.cookies.clear()
    cart = {"cookie": "theme=dark; " + made.headers["set-cookie"].split(";")[0]}
    put = "/api/v1/carts/mine/items/1"
    assert refused(await open_shop.http.put(put, json={"qty": 1}, headers=cart | page))
    assert (await open_shop.http.put(put, json={"qty": 1}, headers=cart)).status_code == 200
    assert (await open_shop.http.get("/api/v1/carts/mine", headers=cart | page)).status_code == 200  # changes nothing


async def test_our_own_pages_and_programs_go_on(open_shop: ServedShop) -> None:
    session, ours = await signed_in(open_shop), str(open_shop.http.base_url).rstrip("/")
    for page in (
        {},
        {"origin": ours},
        {"origin": ours, "sec-fetch-site": "same-origin"},
        {"origin": open_shop.deps.settings.public_url},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "https://shop.example", "x-forwarded-host": "shop.example, edge.local"},
    ):
        sold = await open_shop.http.post(BUY, content=BODY, headers=session | page)
        assert sold.status_code in (200, 409), (page, sold.text)


async def test_a_token_is_sent_on_purpose_and_other_cookies_are_not_ours(open_shop: ServedShop) -> None:
    token = open_shop.token("7", "customer")
    session = await signed_in(open_shop)
    for headers in (token, token | session, token | {"cookie": "theme=dark"}):
        assert (await open_shop.http.post(BUY, content=BODY, headers=headers | EVIL)).status_code in (200, 409)
    unknown = await open_shop.http.post(BUY, content=BODY, headers={"cookie": "theme=dark"} | EVIL)
    assert unknown.status_code == 401


DEMO_MUTATIONS: list[tuple[str, str, bytes]] = [
    ("POST", BUY, BODY),
    ("POST", "/api/v1/async/purchase", BODY),
    ("POST", "/api/v1/orders", b'{"userId": 7, "items": [{"productId": 1, "qty": 1}]}'),
    ("PUT", "/api/v1/sync/stock/1/reset?stock=0", b""),
    ("POST", "/api/v1/sync/stock/init/1", b""),
    ("PUT", "/api/v1/payments/simulator", b"{}"),
    ("POST", "/api/v1/carts", b"{}"),
    ("POST", "/api/v1/session", b'{"userId": 7}'),
    ("DELETE", "/api/v1/session", b""),
    ("POST", "/broker/default/default", b"{}"),
]


@pytest.mark.parametrize("page", FOREIGN)
async def test_in_the_demo_another_site_s_page_changes_nothing_even_without_a_cookie(
    demo: ServedShop, page: dict[str, str]
) -> None:
    session = await signed_in(demo)
    for cookie in ({}, session, {"cookie": "theme=dark"}):
        for method, path, body in DEMO_MUTATIONS:
            assert refused(await demo.http.request(method, path, content=body, headers=cookie | page)), (method, path)
    assert (await demo.http.get("/api/v1/sync/stock/1", headers=page)).json()["stock"] == 1000


async def test_in_the_demo_programs_our_pages_and_named_sites_go_on(demo: ServedShop) -> None:
    ours = str(demo.http.base_url).rstrip("/")
    localhost = ours.replace("127.0.0.1", "localhost")
    for headers in (
        {},
        {"origin": ours},
        {"origin": localhost, "host": localhost.removeprefix("http://")},
        {"origin": demo.deps.settings.public_url},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        EVIL | demo.token("7", "customer"),
    ):
        bought = await demo.http.post(BUY, content=BODY, headers=headers)
        assert bought.status_code in (200, 409), (headers, bought.text)


def test_a_page_named_in_cors_origins_may_buy_in_a_demo_and_use_no_cookie(deps: Deps) -> None:
    settings = replace(deps.settings, cors_origins="https://friend.example, http://localhost:3000")
    for friend in ("https://friend.example", "http://localhost:3000"):
        check_page({"origin": friend, "host": "127.0.0.1:8080"}, settings)
        with pytest.raises(Forbidden):
            check_origin({"origin": friend, "host": "127.0.0.1:8080"}, settings)
    for other in ("http://friend.example", "https://friend.example:8443", "http://localhost:3001"):
        with pytest.raises(Forbidden):
            check_page({"origin": other, "host": "127.0.0.1:8080"}, settings)


HTTPS = "https://shop.example"


@pytest.mark.parametrize(
    ("public_url", "headers", "ours"),
    [
        (HTTPS, {"origin": "https://shop.example", "host": "shop.example"}, True),
        (HTTPS, {"origin": "http://shop.example", "host": "shop.example"}, False),
        (HTTPS, {"origin": "http://shop.example", "host": "shop.example", "x-forwarded-proto": "http"}, False),
        (HTTPS, {"origin": "http://other.example", "host": "other.example"}, False),
        (HTTPS, {"origin": "https://other.example", "host": "other.example"}, True),
        (HTTPS, {"origin": "http://shop.example", "host": "edge", "x-forwarded-host": "shop.example"}, False),
        (HTTPS, {"origin": "https://shop.example", "host": "edge"}, True),
        (HTTPS + ":443/", {"origin": "https://shop.example", "host": "edge"}, True),
        ("https://Shop.Example", {"origin": "https://shop.example", "host": "edge"}, True),
        (HTTPS, {"origin": "https://shop.example:8443", "host": "shop.example"}, False),
        (HTTPS, {"origin": "https://shop.example", "host": "shop.example:443"}, True),
        ("http://127.0.0.1:8080", {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"}, True),
        ("http://127.0.0.1:8080", {"origin": "https://127.0.0.1:8080", "host": "127.0.0.1:8080"}, False),
        ("http://127.0.0.1:8080", {"origin": "http://localhost:8080", "host": "localhost:8080"}, True),
        ("http://127.0.0.1:8080", {"origin": "http://localhost:3000", "host": "localhost:8080"}, False),
        (
            "http://127.0.0.1:8080",
            {"origin": "http://a.example", "host": "a.example", "x-forwarded-proto": "https"},
            False,
        ),
        (
            "http://127.0.0.1:8080",
            {"origin": "https://a.example", "host": "a.example", "x-forwarded-proto": "https"},
            True,
        ),
        ("http://127.0.0.1:8080", {"origin": "http://shop.example:80", "host": "shop.example"}, True),
        ("http://127.0.0.1:8080", {"origin": "http://[::1]:8080", "host": "[::1]:8080"}, True),
        ("http://127.0.0.1:8080", {"origin": "ws://127.0.0.1:8080", "host": "127.0.0.1:8080"}, False),
        ("http://127.0.0.1:8080", {"origin": "http://a@127.0.0.1:8080", "host": "127.0.0.1:8080"}, False),
        ("http://127.0.0.1:8080", {"origin": "", "host": "127.0.0.1:8080"}, False),
        ("http://127.0.0.1:8080", {"origin": "http://", "host": ""}, False),
        ("http://127.0.0.1:8080", {"origin": "null"}, False),
    ],
)
def test_a_page_is_ours_by_scheme_host_and_port(public_url: str, headers: dict[str, str], ours: bool) -> None:
    settings: Any = Settings(database_url="", redis_url="", public_url=public_url)
    if ours:
        check_origin(headers, settings)
    else:
        with pytest.raises(Forbidden, match="foreign-origin"):
            check_origin(headers, settings)


async def test_signing_out_takes_the_cookie_whatever_it_is_and_not_for_others_pages(open_shop: ServedShop) -> None:
    session = await signed_in(open_shop)
    for cookie in (session, {"cookie": "pulsecart_session=what-was-once-good"}, {}):
        gone = await open_shop.http.delete("/api/v1/session", headers=cookie)
        assert (gone.status_code, gone.content) == (204, b"")
        assert gone.headers["set-cookie"].startswith("pulsecart_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
        assert refused(await open_shop.http.delete("/api/v1/session", headers=cookie | EVIL))
    assert (await open_shop.http.post("/api/v1/session", headers=open_shop.token("7", "customer"))).status_code == 204
    assert (await open_shop.http.post("/api/v1/stream-tickets")).status_code == 200
    await open_shop.http.delete("/api/v1/session")
    assert not open_shop.http.cookies
    assert (await open_shop.http.post("/api/v1/stream-tickets")).status_code == 401


async def test_behind_a_gateway_the_public_address_is_ours(deps: Deps) -> None:
    settings: Any = replace(deps.settings, public_url="https://shop.example")
    inside = Request("POST", BUY, {"host": "checkout.shop.svc.cluster.local", "origin": "https://shop.example"})
    check_origin(inside.headers, settings)
    for other in ("https://shop.example.evil.example", "http://shop.example", "https://shop.example:444"):
        with pytest.raises(Forbidden, match="foreign-origin"):
            check_origin(inside.headers | {"origin": other}, settings)
