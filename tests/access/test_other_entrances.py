"""Entrances beside buyers' routes are protected: the broker's ingress, wake-ups, the WebSocket; and HEAD at each."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from functions.edge.main import edge, edge_app
from functions.stock.main import stock
from pulsecart.processes.function import Function
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.serving.replies import EVENTS
from tests.access.conftest import ServedShop
from tests.access.test_every_route import EVENT
from tests.client import connect as database
from tests.edge.conftest import served

INGRESS = "/broker/default/default"
ENDED = {"saleId": "s1", "productId": "1"}
SHOWN = ("/", "/healthz", "/metrics", "/api/v1/sync/stock/1", "/api/v1/products", "/api/openapi.json")


async def posted(open_shop: ServedShop, event_id: str, headers: dict[str, str]) -> httpx.Response:
    return await open_shop.status("POST", INGRESS, EVENT | {"ce-id": event_id} | headers, ENDED)


def in_the_log(open_shop: ServedShop) -> set[str]:
    with database(open_shop.deps.settings.database_url) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM outbox WHERE source = '/somebody'")}


def problem(response: httpx.Response) -> str:
    return str(response.json()["type"]).rsplit("/")[-1]


async def test_an_event_is_taken_from_an_admin_alone(open_shop: ServedShop) -> None:
    anonymous = await posted(open_shop, "nobody's", {})
    assert (anonymous.status_code, problem(anonymous)) == (401, "not-signed-in")
    for role in ("customer", "partner"):
        lesser = await posted(open_shop, role, open_shop.token("7", role))
        assert (lesser.status_code, problem(lesser)) == (403, "role-missing")
    await open_shop.http.post("/api/v1/session", headers=open_shop.token("7", "customer", "admin"))
    assert (await posted(open_shop, "by session", {})).status_code == 403
    assert in_the_log(open_shop) == set()
    assert (await posted(open_shop, "admin's", open_shop.token("1", "admin"))).status_code == 202
    assert in_the_log(open_shop) == {"admin's"}


async def test_in_the_demo_anyone_s_event_is_taken_unless_a_token_says_no(demo: ServedShop) -> None:
    assert (await posted(demo, "nobody's", {})).status_code == 202
    assert (await posted(demo, "customer's", demo.token("7", "customer"))).status_code == 403
    assert in_the_log(demo) == {"nobody's"}


async def test_a_broker_that_is_not_there_and_another_method_say_so(demo: ServedShop) -> None:
    assert (await demo.status("POST", "/broker/default/other", EVENT, ENDED)).status_code == 404
    wrong = await demo.http.put(INGRESS)
    assert (wrong.status_code, wrong.headers["allow"], problem(wrong)) == (405, "POST", "wrong-method")


@pytest.mark.parametrize("path", ["/poke", "/", "/reserve", "/settle-orders"])
async def test_no_one_wakes_or_delivers_through_the_shop_s_own_port(open_shop: ServedShop, path: str) -> None:
    for headers in ({}, open_shop.token("1", "admin")):
        assert (await open_shop.status("POST", path, EVENT | headers, ENDED)).status_code in (404, 405)
    assert in_the_log(open_shop) == set()


async def test_the_socket_sends_nothing_to_an_unknown_caller(open_shop: ServedShop) -> None:
    url = str(open_shop.http.base_url).replace("http:", "ws:").rstrip("/") + "/ws/orders"
    for headers, wanted in (({}, "no-session"), (open_shop.token("7", "admin"), "role-missing")):
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            output = json.loads(await socket.recv())
            assert (output["event"], output["data"]["type"].rsplit("/")[-1]) == ("problem", wanted)
            await socket.wait_closed()
            assert socket.close_code == 1008


async def same_but_the_body(http: httpx.AsyncClient, path: str, **headers: str) -> None:
    get, head = await http.get(path, headers=headers), await http.head(path, headers=headers)
    assert (head.status_code, head.content) == (get.status_code, b""), path
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # its text grows each time
        assert head.headers.get("content-length") in (None, get.headers["content-length"]), path
    again = await http.get(path, headers=headers)
    assert again.status_code == get.status_code, "the connection has no unrequested bytes"


@pytest.mark.parametrize("path", SHOWN)
async def test_head_answers_as_get_without_the_body(open_shop: ServedShop, path: str) -> None:
    await same_but_the_body(open_shop.http, path)


async def test_head_needs_what_get_needs_and_is_not_there_where_get_is_not(open_shop: ServedShop) -> None:
    path = "/api/v1/customers/7/orders"
    assert (await open_shop.http.head(path)).status_code == 401
    assert (await open_shop.http.head(path, headers=open_shop.token("7", "customer"))).status_code == 200
    assert (await open_shop.http.head("/api/v1/nothing")).status_code == 404
    bought = await open_shop.http.head("/api/v1/sync/purchase")
    assert (bought.status_code, bought.headers["allow"]) == (405, "POST")
    wrong = await open_shop.http.post("/api/v1/sync/stock/1")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")


async def test_head_of_a_stream_ends_at_once_and_no_one_listens(open_shop: ServedShop) -> None:
    head = await open_shop.http.head("/sse/stock/1", headers={"accept": EVENTS})
    assert (head.status_code, head.headers["content-type"], head.content) == (200, EVENTS, b"")
    from pulsecart.edge.streams.hub import Hub

    assert open_shop.deps.singleton(Hub).listeners == 0


@asynccontextmanager
async def served_alone(deps: Deps, operation: Any, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    opened = open_deps(replace(deps.settings, **settings))
    live = edge_app(opened) if operation is edge.operation else None
    async with (
        served(Function(operation, opened, live), opened.before_shutdown) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http,
    ):
        yield http
    await close_deps(opened)


METRICS_TOKEN = "of the tests, for metrics".replace(" ", "-")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_metrics_are_for_an_admin_or_their_own_token(deps: Deps, open_shop: ServedShop) -> None:
    assert (await open_shop.http.get("/metrics")).status_code == 401
    assert (await open_shop.http.get("/metrics", headers=bearer(METRICS_TOKEN))).status_code == 401
    assert (
        await open_shop.http.get("/metrics", headers=open_shop.token("7", "customer", "partner"))
    ).status_code == 403
    assert "http_requests_total" in (await open_shop.http.get("/metrics", headers=open_shop.token("1", "admin"))).text
    await open_shop.http.post("/api/v1/session", headers=open_shop.token("7", "customer", "admin"))
    assert (await open_shop.http.get("/metrics")).status_code == 401, "no cookie counts"
    settings: dict[str, Any] = {"accept_unsigned_buyers": False, "metrics_token": METRICS_TOKEN}
    async with served_alone(deps, stock.operation, **settings) as alone:
        assert (await alone.get("/metrics", headers=bearer(METRICS_TOKEN))).status_code == 200
        for wrong in ({}, bearer(METRICS_TOKEN + "x"), bearer("x"), {"authorization": METRICS_TOKEN}):
            assert (await alone.get("/metrics", headers=wrong)).status_code == 401
        through_a_gateway = {"x-forwarded-proto": "https"} | bearer(METRICS_TOKEN)
        assert (await alone.get("/metrics", headers=through_a_gateway)).status_code == 404
        assert (await alone.put("/api/v1/sync/stock/1/reset", headers=bearer(METRICS_TOKEN))).status_code == 401


async def test_in_the_demo_metrics_are_open(demo: ServedShop, deps: Deps) -> None:
    assert (await demo.http.get("/metrics")).status_code == 200
    async with served_alone(deps, stock.operation) as alone:
        assert (await alone.get("/metrics")).status_code == 200


async def test_head_is_answered_by_a_function_alone_and_through_the_edge(deps: Deps) -> None:
    async with served_alone(deps, stock.operation) as alone:
        await same_but_the_body(alone, "/api/v1/sync/stock/1")
        behind = str(alone.base_url).rstrip("/")
        async with served_alone(deps, edge.operation, function_url=behind) as before:
            await same_but_the_body(before, "/api/v1/sync/stock/1")
            refused = await before.head("/api/v1/sync/purchase")
            assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
