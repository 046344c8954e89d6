"""The edge is the one origin of operations that are deployed on their own, and handles errors of forwarding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest

from functions.edge.main import edge, edge_app
from pulsecart.processes.function import Function
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import Settings
from pulsecart.serving.asgi import request_of, send_reply
from pulsecart.serving.http import Reply, Request
from tests.edge.conftest import served

BUY = "/api/v1/sync/purchase"
METRICS_TOKEN = "of-the-tests-for-metrics"
OURS = (("correlation-id", "c-1"),)


class Shop(NamedTuple):
    http: httpx.AsyncClient
    asked: list[Request]
    answers: list[Callable[[Request], Awaitable[Reply]]]


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """Provide the edge in front of a server for all operations; each of ``answers`` answers one request, then 200."""
    asked: list[Request] = []
    answers: list[Callable[[Request], Awaitable[Reply]]] = []

    async def function(scope: Any, receive: Any, send: Any) -> None:
        request = await request_of(scope, receive, 1_000_000)
        asked.append(request)
        answer = answers.pop(0) if answers else answered(200, b'{"ok":true}')
        await send_reply(send, await answer(request))

    async with served(function) as behind:
        deps = open_deps(replace(settings, function_url=f"{behind}/{{operation}}", metrics_token=METRICS_TOKEN))
        app = Function(edge.operation, deps, edge_app(deps))
        async with served(app) as url, httpx.AsyncClient(base_url=url) as http:
            yield Shop(http, asked, answers)
        await close_deps(deps)


def answered(status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = OURS) -> Any:
    async def answer(request: Request) -> Reply:
        return Reply(status, body, headers=headers)

    return answer


async def test_a_request_reaches_the_operation_of_its_path_as_it_was_sent(shop: Shop) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"authorization": "Bearer t", "idempotency-key": "k", "traceparent": trace, "cookie": "a=b"}
    reply = await shop.http.post(BUY + "?a=%2Fb", content=b'{"productId":1}', headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
    (asked,) = shop.asked
    assert (asked.method, asked.path, asked.query, asked.body) == (
        "POST",
        f"/checkout{BUY}",
        "a=%2Fb",
        b'{"productId":1}',
    )
    assert {name: asked.headers[name] for name in headers if name != "traceparent"} == {
        name: value for name, value in headers.items() if name != "traceparent"
    }
    assert asked.headers["traceparent"].split("-")[1] == trace.split("-")[1]
    assert asked.headers["x-forwarded-for"] == "127.0.0.1"


async def test_the_operations_own_answer_is_passed_back_whatever_it_says(shop: Shop) -> None:
    for status in (200, 202, 404, 409, 503):
        shop.answers.append(answered(status, b'{"title":"said"}', (*OURS, ("retry-after", "7"))))
        reply = await shop.http.get("/api/v1/orders/1")
        assert (reply.status_code, reply.json()["title"], reply.headers["retry-after"]) == (status, "said", "7")
    assert len(shop.asked) == 5


async def test_what_answers_in_its_place_is_asked_again_where_that_cannot_act_twice(shop: Shop) -> None:
    for headers in ({}, {"idempotency-key": "k"}):
        shop.answers.extend([answered(503, b"no healthy upstream", ()), answered(502, b"", ()), answered(201)])
        reply = await (shop.http.post(BUY, headers=headers) if headers else shop.http.get("/api/v1/orders/1"))
        assert reply.status_code == 201
    assert len(shop.asked) == 6


async def test_a_purchase_without_a_key_is_not_asked_twice_and_its_buyer_asked_to_look(shop: Shop) -> None:
    shop.answers.append(answered(502, b"", ()))
    reply = await shop.http.post(BUY)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert reply.json()["type"].endswith("outcome-unknown")
    assert len(shop.asked) == 1


async def test_a_large_body_goes_through_as_it_comes(shop: Shop) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b"x" * 10_000

    assert (await shop.http.post(BUY, content=body())).status_code == 200
    assert shop.asked[0].body == b"x" * 160_000


async def test_an_answer_without_an_end_comes_piece_by_piece(shop: Shop) -> None:
    more = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await more.wait()
        yield b"second"

    async def answer(request: Request) -> Reply:
        return Reply(200, stream=pieces(), media_type="text/plain", headers=OURS)

    shop.answers.append(answer)
    async with shop.http.stream("GET", "/api/v1/orders/1") as reply:
        chunks = reply.aiter_raw()
        assert await anext(chunks) == b"first"
        more.set()
        assert await anext(chunks) == b"second"


async def test_no_ones_path_is_404_and_a_wrong_method_405_without_asking_anyone(shop: Shop) -> None:
    assert (await shop.http.get("/api/v1/nothing")).status_code == 404
    wrong = await shop.http.get(BUY)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert (await shop.http.post("/poke")).status_code == 404
    assert shop.asked == []


async def test_what_it_forwards_is_counted_for_who_asks_the_pod_and_shown_to_no_buyer(shop: Shop) -> None:
    shop.answers.append(answered(409))
    for _ in range(2):
        await shop.http.post(BUY, content=b"{}")
    scraper = {"authorization": f"Bearer {METRICS_TOKEN}"}
    assert (await shop.http.get("/metrics")).status_code == 401
    exposed = (await shop.http.get("/metrics", headers=scraper)).text
    for status in ("2xx", "4xx"):
        assert f'http_requests_total{{operation="edge",route="to checkout",status="{status}"}}' in exposed
    through_the_gateway = await shop.http.get("/metrics", headers=scraper | {"x-forwarded-proto": "https"})
    assert through_the_gateway.status_code == 404
    assert "http_requests_total" not in through_the_gateway.text


async def test_an_operation_is_informed_how_long_the_caller_still_waits_and_no_longer_waited_for(shop: Shop) -> None:
    async def never(request: Request) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    await shop.http.get("/api/v1/sync/health", headers={"request-timeout": "20"})
    assert 19 < float(shop.asked[0].headers["request-timeout"]) <= 20
    shop.answers.append(never)
    late = await shop.http.get("/api/v1/sync/health", headers={"request-timeout": "0.1"})
    assert (late.status_code, late.json()["type"].rsplit("/")[-1]) == (503, "no-answer")
    odd = await shop.http.get("/api/v1/sync/health", headers={"request-timeout": "soon"})
    assert (odd.status_code, odd.json()["type"].rsplit("/")[-1]) == (400, "timeout-malformed")
    assert len(shop.asked) == 2


async def test_what_is_left_of_the_wait_shrinks_while_the_edge_asks_again(shop: Shop) -> None:
    shop.answers.append(answered(503, headers=()))
    await shop.http.get("/api/v1/sync/health", headers={"request-timeout": "20"})
    first, second = (float(request.headers["request-timeout"]) for request in shop.asked)
    assert second < first


@pytest.mark.parametrize("path", ["/events", "/events/0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77"])
async def test_partners_events_are_forwarded_with_their_signature_and_the_question_for_consent(
    shop: Shop, path: str
) -> None:
    headers = {"webhook-id": "m", "webhook-signature": "v1,x", "content-type": "application/cloudevents-batch+json"}
    assert (await shop.http.post(path, content=b"[]", headers=headers)).json() == {"ok": True}
    await shop.http.options(path, headers={"webhook-request-origin": "partner.example"})
    sent, asked = shop.asked
    assert sent.path == asked.path == f"/events{path}"
    assert headers.items() <= sent.headers.items()
    assert (asked.method, asked.headers["webhook-request-origin"]) == ("OPTIONS", "partner.example")
