"""The host runs every operation in one process, answers errors as problem documents, and reports its true state."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from pulsecart.broker.local import LocalBroker
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.processes import registry
from pulsecart.processes.host import Host
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.telemetry.stall import Stall, StallWatch
from pulsecart.serving.access import PUBLIC
from pulsecart.serving.asgi import Receive, Scope, Send, send_reply
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation
from pulsecart.serving.replies import no_route
from pulsecart.serving.routes import get
from pulsecart.shop.pricing.events import FlashSaleEnded
from tests.client import until
from tests.races.proxy import Proxy

BODY = {"productId": 1, "userId": 7}


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Replaces the edge, which answers all other paths."""
    await send_reply(send, no_route(scope["method"], scope["path"], []))


class Toys:
    """Operations that are slow, or block the event loop, on purpose."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.inside = 0

    async def wait(self, request: Request, deps: Deps) -> Reply:
        self.inside += 1
        await self.leave.wait()
        return Reply()

    async def hold_the_loop(self, request: Request, deps: Deps) -> Reply:
        time.sleep(0.4)  # noqa: ASYNC251  what must not happen is what is tested
        return Reply()

    async def use_a_connection(self, request: Request, deps: Deps) -> Reply:
        async with deps.db.transaction() as tx:
            await tx.row("SELECT 1")
            self.inside += 1
            await self.leave.wait()
        return Reply()

    def operations(self) -> list[Operation]:
        return [
            Operation("slow", [get("/toys/slow", self.wait, allow=PUBLIC)], concurrency=3),
            Operation("late", [get("/toys/late", self.wait, allow=PUBLIC)], deadline_s=0.05),
            Operation("stiff", [get("/toys/stiff", self.hold_the_loop, allow=PUBLIC)]),
            Operation("greedy", [get("/toys/greedy", self.use_a_connection, allow=PUBLIC)], connections=2),
        ]


@pytest.fixture
def toys() -> Toys:
    return Toys()


@pytest.fixture
async def knative(deps: Deps) -> AsyncIterator[LocalBroker]:
    """Provide a broker that dispatches."""
    knative = LocalBroker(registry.load_all(), EVENTING_DIR, deps)
    deps.committed = knative.wake
    await knative.start()
    await knative.ready()
    yield knative
    await knative.stop()


def browser(deps: Deps, toys: Toys, knative: LocalBroker) -> httpx.AsyncClient:
    host = Host(deps, [*registry.load_all().values(), *toys.operations()], knative, nowhere)
    return httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://shop")


@pytest.fixture
async def http(deps: Deps, toys: Toys, knative: LocalBroker) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(deps, toys, knative) as client:
        yield client


def problem(answered: httpx.Response) -> str:
    assert answered.headers["content-type"] == "application/problem+json"
    document = answered.json()
    assert document["status"] == answered.status_code
    assert {"type", "title", "detail"} <= set(document)
    return str(document["type"]).rsplit("/")[-1]


async def test_a_path_that_no_one_answers_is_404(http: httpx.AsyncClient) -> None:
    for path in ("/api/v1/nothing", "/api/", "/api/v1/orders/", "/api/v1/orders/a%00b", "/api/v1/sync/stock/"):
        answered = await http.get(path)
        assert answered.status_code in (404, 405)
        problem(answered)


async def test_a_method_that_a_path_does_not_have_is_405_with_those_it_has(http: httpx.AsyncClient) -> None:
    refused = await http.delete("/api/v1/sync/purchase")
    assert (refused.status_code, refused.headers["allow"], problem(refused)) == (405, "POST", "wrong-method")


async def test_a_body_that_is_too_large_is_413(http: httpx.AsyncClient) -> None:
    huge = {"productId": 1, "userId": 7, "more": "x" * 70_000}
    for path in ("/api/v1/sync/purchase", "/broker/default/default"):
        refused = await http.post(path, json=huge)
        assert (refused.status_code, problem(refused)) == (413, "body-too-large")


async def test_the_correlation_id_comes_back_on_success_and_on_refusal(http: httpx.AsyncClient) -> None:
    for body in (BODY, {}):
        answered = await http.post("/api/v1/sync/purchase", json=body, headers={"Correlation-Id": "c-1"})
        assert answered.headers["correlation-id"] == "c-1"
    made = await http.get("/api/v1/sync/stock/1")
    assert len(made.headers["correlation-id"]) == 36


async def test_it_is_ready_when_a_purchase_can_succeed_and_triggers_are_dispatched(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "UP"}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "READY"})


async def test_it_counts_open_dead_letters_and_is_ready_all_the_same(http: httpx.AsyncClient, deps: Deps) -> None:
    async with deps.db.transaction() as tx:
        for number in range(3):
            columns = "trigger, event_id, source, type, discarded_at"
            values = "'pay', %s, '/s', 't', CASE WHEN %s THEN now() END"
            await tx.execute(f"INSERT INTO dead_letters ({columns}) VALUES ({values})", (str(number), number == 0))
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "READY", "deadLetters": 2})


async def test_without_its_database_it_lives_and_says_that_it_is_not_ready(
    deps: Deps, toys: Toys, tmp_path: Path
) -> None:
    async with Proxy.of_postgresql(deps.settings.database_url, tmp_path) as proxy:
        opened = open_deps(replace(deps.settings, database_url=proxy.url))
        knative = LocalBroker(registry.load_all(), EVENTING_DIR, opened)
        await knative.start()
        await knative.ready()
        async with browser(opened, toys, knative) as http:
            assert (await http.get("/readyz")).status_code == 200
            proxy.refuses = True
            proxy.hang_up()
            away = await http.get("/readyz")
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")
            assert "database" in away.json()["missing"]
            assert (await http.get("/api/v1/sync/health")).json()["status"] == "DOWN"
            assert (await http.get("/healthz")).status_code == 200
            proxy.refuses = False

            async def ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await until(ready, within_s=20)
        await knative.stop()
        await close_deps(opened)


async def test_without_its_gate_it_says_that_it_is_not_ready(
    deps: Deps, toys: Toys, knative: LocalBroker, tmp_path: Path
) -> None:
    async with Proxy.of_redis(deps.settings.redis_url, tmp_path) as proxy:
        opened = open_deps(replace(deps.settings, redis_url=proxy.url))
        proxy.refuses = True
        async with browser(opened, toys, knative) as http:
            away = await http.get("/readyz")
            assert (away.status_code, away.json()["missing"]) == (503, {"gate": "does not answer"})
            refused = await http.post("/api/v1/sync/purchase", json=BODY)
            assert (refused.status_code, problem(refused)) == (503, "redis-unavailable")
            assert (await http.post("/api/v1/async/purchase", json=BODY)).status_code == 202
        await close_deps(opened)


async def test_before_triggers_are_dispatched_it_is_not_ready(deps: Deps, toys: Toys) -> None:
    asleep = LocalBroker(registry.load_all(), EVENTING_DIR, deps)
    async with browser(deps, toys, asleep) as http:
        assert list((await http.get("/readyz")).json()["missing"]) == ["broker"]


async def test_a_full_operation_refuses_its_own_and_slows_no_other(http: httpx.AsyncClient, toys: Toys) -> None:
    inside = [asyncio.create_task(http.get("/toys/slow")) for _ in range(3)]
    await until(lambda: _is(toys.inside == 3))
    refused = await http.get("/toys/slow")
    assert (refused.status_code, refused.headers["retry-after"], problem(refused)) == (503, "1", "busy")
    assert (await http.post("/api/v1/sync/purchase", json=BODY)).status_code == 200
    toys.leave.set()
    assert {answered.status_code for answered in await asyncio.gather(*inside)} == {200}


async def test_an_operation_that_keeps_its_connections_takes_no_one_else_s(http: httpx.AsyncClient, toys: Toys) -> None:
    held = [asyncio.create_task(http.get("/toys/greedy")) for _ in range(12)]
    await until(lambda: _is(toys.inside == 2))
    assert (await http.post("/api/v1/sync/purchase", json=BODY)).status_code == 200
    assert (await http.get("/api/v1/sync/stock/1")).json()["stock"] == 999
    toys.leave.set()
    assert {answered.status_code for answered in await asyncio.gather(*held)} == {200}


async def _is(true: bool) -> bool:
    return true


async def test_a_request_past_its_deadline_gets_503(http: httpx.AsyncClient) -> None:
    late = await http.get("/toys/late")
    assert (late.status_code, problem(late)) == (503, "too-slow")


async def test_more_purchases_than_the_queue_takes_get_503_at_once_and_nothing_is_lost(
    deps: Deps, toys: Toys, knative: LocalBroker
) -> None:
    small = open_deps(replace(deps.settings, queue_max=20))
    async with browser(small, toys, knative) as http:
        await http.post("/api/v1/sync/purchase", json=BODY)
        asked = (http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": user}) for user in range(10, 110))
        answers = await asyncio.gather(*asked)
        statuses = [answered.status_code for answered in answers]
        assert set(statuses) == {200, 503}
        busy = next(answered for answered in answers if answered.status_code == 503)
        assert (problem(busy), busy.headers["retry-after"]) == ("busy", "1")
        assert (await http.get("/api/v1/sync/stock/1")).json()["stock"] == 999 - statuses.count(200)
    await close_deps(small)


async def test_who_holds_the_loop_is_named(http: httpx.AsyncClient) -> None:
    reported: list[Stall] = []
    watch = StallWatch(asyncio.get_running_loop(), reported.append)
    watch.start()
    assert (await http.get("/toys/stiff")).status_code == 200
    await until(lambda: _is(bool(reported)))
    watch.stop()
    assert (reported[0].operation, reported[0].ms > 100) == ("stiff", True)
    assert "hold_the_loop" in reported[0].where


async def test_an_event_posted_to_the_broker_is_accepted_once_it_is_in_the_log(
    http: httpx.AsyncClient, deps: Deps
) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "partner-1",
        "ce-source": "/partner",
        "ce-type": FlashSaleEnded.TYPE,
        "content-type": "application/json",
    }
    data = json.dumps({"saleId": "s1", "productId": "1"})
    accepted = await http.post("/broker/default/default", headers=headers, content=data)
    assert (accepted.status_code, accepted.content) == (202, b"")
    async with deps.db.transaction() as tx:
        assert await tx.row("SELECT type FROM outbox WHERE id = 'partner-1'") == (FlashSaleEnded.TYPE,)
    for broken in (b"garbage", b"{}"):
        refused = await http.post("/broker/default/default", headers=headers | {"ce-id": "other"}, content=broken)
        assert refused.status_code == 400
    assert (await http.post("/broker/default/default", content=data)).status_code == 400


async def test_metrics_count_what_was_asked(http: httpx.AsyncClient) -> None:
    await http.post("/api/v1/sync/purchase", json=BODY)
    exposed = await http.get("/metrics")
    assert exposed.status_code == 200
    assert "/api/v1/sync/purchase" in exposed.text
