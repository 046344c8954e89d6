"""edge: serves sessions, tickets, sales and the page, called as an operation."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from functions.edge.main import edge
from pulsecart.runtime.deps import Clock, Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from pulsecart.serving.http import Reply, Request

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Stopped(Clock):
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


@pytest_asyncio.fixture
async def deps(settings: Settings) -> AsyncIterator[Deps]:
    opened = open_deps(replace(settings, accept_unsigned_buyers=True), Stopped())
    yield opened
    for end in opened.before_shutdown:
        await end()
    await close_deps(opened)


async def ask(deps: Deps, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    path, _, query = path.partition("?")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = b"" if body is None else json.dumps(body).encode()
    return await edge.operation.answer(Request(method, path, sent, raw, query), deps)


def header(reply: Reply, name: str) -> str:
    return dict(reply.headers)[name]


async def cookie(deps: Deps, user_id: Any = 12345) -> str:
    reply = await ask(deps, "POST", "/api/v1/session", {"userId": user_id})
    assert reply.status == 204
    return header(reply, "set-cookie").split(";")[0]


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(deps: Deps) -> None:
    reply = await ask(deps, "POST", "/api/v1/session", {"userId": 12345})
    attributes = header(reply, "set-cookie").split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes


async def test_behind_https_the_cookie_never_travels_in_the_clear(settings: Settings) -> None:
    opened = open_deps(replace(settings, accept_unsigned_buyers=True, public_url="https://shop.example"))
    reply = await ask(opened, "POST", "/api/v1/session", {"userId": 1})
    assert "Secure" in header(reply, "set-cookie").split("; ")
    gone = await ask(opened, "DELETE", "/api/v1/session")
    for made in (header(reply, "set-cookie"), header(gone, "set-cookie")):
        name, *attributes = made.split("; ")
        assert name.startswith("__Host-pulsecart_session=")
        assert {"Secure", "Path=/", "HttpOnly"} <= set(attributes)
        assert "domain" not in made.lower()
    await close_deps(opened)


async def test_behind_https_a_cookie_that_a_neighbouring_host_could_have_set_is_none(settings: Settings) -> None:
    opened = open_deps(replace(settings, accept_unsigned_buyers=True, public_url="https://shop.example"))
    pair = (await cookie(opened)).removeprefix("__Host-")
    assert (await ask(opened, "POST", "/api/v1/stream-tickets", cookie=pair)).status == 401
    assert (await ask(opened, "POST", "/api/v1/stream-tickets", cookie=f"{pair}; __Host-{pair}")).status == 200
    await close_deps(opened)


async def test_over_plain_http_a_browser_is_asked_for_no_prefix(deps: Deps) -> None:
    pair = await cookie(deps)
    assert pair.startswith("pulsecart_session=")
    assert (await ask(deps, "POST", "/api/v1/stream-tickets", cookie="__Host-" + pair)).status == 401


async def test_outside_the_demo_no_one_is_believed(settings: Settings) -> None:
    opened = open_deps(settings)
    assert (await ask(opened, "POST", "/api/v1/session", {"userId": 12345})).status == 401
    assert (await ask(opened, "POST", "/api/v1/session", authorization="Bearer nonsense")).status == 401
    await close_deps(opened)


@pytest.mark.parametrize("body", [None, {}, {"userId": ""}, {"userId": "x" * 65}, {"userId": [1]}, "x"])
async def test_a_session_needs_a_sensible_user(deps: Deps, body: Any) -> None:
    assert (await ask(deps, "POST", "/api/v1/session", body)).status == 400


async def test_another_sites_page_gets_no_session(deps: Deps) -> None:
    reply = await ask(deps, "POST", "/api/v1/session", {"userId": 1}, origin="https://evil.example", host="shop:80")
    assert reply.status == 403
    reply = await ask(deps, "POST", "/api/v1/session", {"userId": 1}, origin="http://shop:80", host="shop:80")
    assert reply.status == 204


async def test_without_a_secret_there_are_no_sessions_and_the_operator_is_informed_why(settings: Settings) -> None:
    opened = open_deps(replace(settings, accept_unsigned_buyers=True, session_secret="short"))
    reply = await ask(opened, "POST", "/api/v1/session", {"userId": 1})
    assert reply.status == 503
    assert b"SESSION_SECRET" in reply.body
    await close_deps(opened)


async def test_a_ticket_is_for_who_has_a_session(deps: Deps) -> None:
    assert (await ask(deps, "POST", "/api/v1/stream-tickets")).status == 401
    reply = await ask(deps, "POST", "/api/v1/stream-tickets", cookie=await cookie(deps))
    assert reply.status == 200
    ticket = json.loads(reply.body)["ticket"]
    assert len(ticket) >= 32
    assert 55 < await deps.redis.ttl(f"ticket:{ticket}") <= 60
    assert header(reply, "cache-control") == "no-store"


async def test_a_forged_or_old_session_opens_nothing(deps: Deps) -> None:
    good = await cookie(deps)
    assert (await ask(deps, "POST", "/api/v1/stream-tickets", cookie=good[:-3] + "abc")).status == 401
    assert isinstance(deps.clock, Stopped)
    deps.clock.time += timedelta(hours=13)
    assert (await ask(deps, "POST", "/api/v1/stream-tickets", cookie=good)).status == 401


async def test_sales_are_listed_as_they_are_now_and_read_once_a_second(deps: Deps) -> None:
    async with deps.db.transaction() as tx:
        await tx.execute("INSERT INTO products VALUES ('1', 'S', 'Headphones', '', 12900, 'USD')")
        await tx.execute("INSERT INTO stock (product_id, available, buyer_limit) VALUES ('1', 7, 2)")
        await tx.execute("INSERT INTO inventory_adjustment (product_id, delta, reason) VALUES ('1', 10, 'INITIAL')")
        await tx.execute(
            "INSERT INTO flash_sales VALUES ('s', '1', 4990, %s, %s, 'SCHEDULED')",
            (NOON - timedelta(hours=1), NOON + timedelta(days=7)),
        )
    body = json.loads((await ask(deps, "GET", "/api/v1/sales")).body)
    assert body["sales"] == [
        {
            "saleId": "s",
            "productId": "1",
            "name": "Headphones",
            "price": 49.9,
            "currency": "USD",
            "startsAt": "2026-01-01T11:00:00.000000Z",
            "endsAt": "2026-01-08T12:00:00.000000Z",
            "status": "STARTED",
            "stock": 7,
            "initial": 10,
            "buyerLimit": 2,
            "saleLimit": 0,
            "productLimit": 2,
        }
    ]
    assert body["now"] == "2026-01-01T12:00:00.000000Z"
    async with deps.db.transaction() as tx:
        await tx.execute("UPDATE stock SET available = 1")
    assert json.loads((await ask(deps, "GET", "/api/v1/sales")).body) == body


async def test_the_page_and_its_files_are_served_and_known_again(deps: Deps) -> None:
    page = await ask(deps, "GET", "/")
    assert (page.status, page.media_type) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in header(page, "content-security-policy")
    again = await ask(deps, "GET", "/", if_none_match=header(page, "etag"))
    assert (again.status, again.body) == (304, b"")
    assert (await ask(deps, "GET", "/static/shop.css")).media_type == "text/css; charset=utf-8"
    assert (await ask(deps, "GET", "/static/..%2f..%2fsettings.py")).status == 404
    assert (await ask(deps, "GET", "/static/pages.py")).status == 404


@pytest.mark.parametrize("path", ["/", "/orders/0192f000-0000-7000-8000-000000000000/passport"])
async def test_everything_a_page_names_is_there_and_nothing_comes_from_elsewhere(deps: Deps, path: str) -> None:
    import re

    page = (await ask(deps, "GET", path)).body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:|<style", page), "nothing inline"
    assert "//" not in re.sub(r'xmlns="[^"]*"', "", page)
    for file in re.findall(r'(?:href|src)="(/[^"]+)"', page):
        found = await ask(deps, "GET", file)
        assert found.status == 200, file
        for module in re.findall(r'from "\./([^"]+)"', found.body.decode()):
            assert (await ask(deps, "GET", f"/static/{module}")).status == 200, module


async def test_a_stream_is_served_as_a_reply_too_for_servers_without_asgi(deps: Deps) -> None:
    reply = await ask(deps, "GET", "/sse/flash-sales", accept="text/event-stream")
    assert (reply.status, reply.media_type) == (200, "text/event-stream")
    assert reply.stream is not None
    first = await anext(reply.stream)
    assert b"retry: " in first
    assert b"event: snapshot" in first
    await reply.stream.aclose()  # type: ignore[attr-defined]  # it is a generator
