"""A caller sets how long it waits; a slow request ends then, and delays no other request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from pulsecart.runtime import redis_breaker, redis_client
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.telemetry import metrics
from tests.client import Client, connect, until

BUY = "/api/v1/sync/purchase"
BODY = {"productId": 1, "userId": 7}


async def reads() -> float:
    """Return the number of product queries so far."""
    metrics.exposition()
    return REGISTRY.get_sample_value("product_reads_total") or 0


@asynccontextmanager
async def silent_redis(deps: Deps, place: Path) -> AsyncIterator[tuple[Client, list[asyncio.StreamWriter]]]:
    """Yield the same shop on a Redis that accepts every command and never answers, and its connections so far."""
    talking: list[asyncio.StreamWriter] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.append(writer)

    socket = place / "mute.sock"
    async with await asyncio.start_unix_server(listen, socket):
        opened = open_deps(replace(deps.settings, redis_url=f"unix://{socket}?db=0"))
        yield Client(opened), talking
        for writer in talking:
            writer.close()
        await close_deps(opened)


async def test_a_purchase_ends_when_its_buyer_stops_waiting_and_happens_once(client: Client, deps: Deps) -> None:
    with connect(deps.settings.database_url) as held, held.transaction():
        held.execute("SELECT * FROM stock FOR UPDATE")
        late = await client.ask("POST", BUY, BODY, idempotency_key="k", request_timeout="0.2")
        assert (late.status, late.body["type"].rsplit("/")[-1]) == (503, "too-slow")
        assert late.headers["retry-after"]

    async def bought() -> bool:
        return (await client.ask("POST", BUY, BODY, idempotency_key="k")).status == 200

    await until(bought)
    assert await client.row("SELECT count(*) FROM orders") == (1,)


@pytest.mark.parametrize("path", ["/api/v1/async/purchase", "/api/v1/orders"])
async def test_an_order_to_be_taken_down_ends_then_too(client: Client, deps: Deps, path: str) -> None:
    body = {"userId": 7, "items": [{"productId": 1, "qty": 1}]} if path.endswith("orders") else BODY
    with connect(deps.settings.database_url) as held, held.transaction():
        held.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        late = await client.ask("POST", path, body, idempotency_key="k", request_timeout="0.2")
        assert (late.status, late.body["type"].rsplit("/")[-1]) == (503, "too-slow")


async def test_a_read_ends_when_its_caller_stops_waiting(client: Client, deps: Deps) -> None:
    with connect(deps.settings.database_url) as held, held.transaction():
        held.execute("LOCK TABLE orders_by_customer IN ACCESS EXCLUSIVE MODE")
        late = await client.ask("GET", "/api/v1/customers/7/orders", request_timeout="0.2")
        assert (late.status, late.body["type"].rsplit("/")[-1]) == (503, "too-slow")


@pytest.mark.parametrize("output", ["", "soon", "0", "-1", "nan", "inf", "1,5"])
@pytest.mark.parametrize("path", [BUY, "/api/v1/sync/stock/init/1"])
async def test_a_time_that_is_none_is_400(client: Client, path: str, output: str) -> None:
    refused = await client.ask("POST", path, BODY, request_timeout=output)
    assert (refused.status, refused.body["type"].rsplit("/")[-1]) == (400, "timeout-malformed")


async def test_a_longer_wait_than_the_operation_s_changes_nothing(client: Client) -> None:
    assert (await client.ask("POST", BUY, BODY, request_timeout="86400")).status == 200


async def test_while_the_gate_is_silent_purchases_wait_and_everything_else_is_answered(
    client: Client, deps: Deps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "TIMEOUT_S", 3600.0)  # who waits for that one is not answered in this test
    order_id = (await client.buy(user=9)).body["orderId"]
    async with silent_redis(deps, tmp_path) as (shop, _):
        waiting = [asyncio.create_task(shop.buy(user=user)) for user in range(200)]
        await asyncio.sleep(0)
        for path in (f"/api/v1/orders/{order_id}", "/api/v1/customers/9/orders", "/api/v1/sync/stock/1"):
            assert (await shop.ask("GET", path)).status == 200
        for path in (f"/api/v1/orders/{order_id}/status", f"/api/v1/orders/{order_id}/passport"):
            assert (await shop.ask("GET", path)).status == 200
        for path in ("/api/v1/products", "/api/v1/products/1", "/api/v1/products/2", "/api/v1/inventory/1"):
            assert (await shop.ask("GET", path)).status == 200
        assert (await shop.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
        assert (await shop.buy(user=9, path="async")).status == 202
        assert not any(task.done() for task in waiting)
        late = await shop.ask("POST", BUY, BODY, request_timeout="0.05")
        assert late.status == 503
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_silent_redis_is_tried_by_one_look_and_postgresql_read_once_for_all_who_ask(
    client: Client, deps: Deps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_breaker, "SILENT_S", 3600.0)
    shown = (await client.ask("GET", "/api/v1/products/2")).body
    async with silent_redis(deps, tmp_path) as (shop, talking):
        assert (await shop.ask("GET", "/api/v1/products/2")).body == shown
        tried, before = len(talking), await reads()
        asked = [f"/api/v1/products/{id}" for id in (1, 2, 3)] * 4
        answers = await asyncio.gather(*(shop.ask("GET", path) for path in asked))
        assert {answer.status for answer in answers} == {200}
        assert (await shop.ask("GET", "/api/v1/inventory/2")).body["available"] == 500
        assert await reads() - before == 1
        assert len(talking) == tried


async def test_a_redis_that_speaks_again_is_looked_into_again(
    client: Client, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_breaker, "SILENT_S", 0.0)
    looked, asking = asyncio.Event(), deps.singleton(redis_breaker.Breaker)

    async def hangs() -> None:
        looked.set()
        await asyncio.Event().wait()

    with pytest.raises(redis_breaker.Silent):
        await asking.ask(hangs)
    assert looked.is_set()
    monkeypatch.setattr(redis_breaker, "LOOK_S", 20.0)
    await client.ask("GET", "/api/v1/products/2")
    before = await reads()
    assert (await client.ask("GET", "/api/v1/products/2")).status == 200
    assert await reads() == before


async def test_while_redis_is_silent_one_of_those_who_ask_tries_it(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_breaker, "LOOK_S", 0.0)
    asking, tried, may_answer = deps.singleton(redis_breaker.Breaker), 0, asyncio.Event()

    async def look() -> str:
        nonlocal tried
        tried += 1
        await may_answer.wait()
        return "a copy"

    monkeypatch.setattr(redis_breaker, "SILENT_S", 0.0)
    with pytest.raises(redis_breaker.Silent):
        await asking.ask(look)
    monkeypatch.setattr(redis_breaker, "LOOK_S", 20.0)
    monkeypatch.setattr(redis_breaker, "SILENT_S", 3600.0)
    probe = asyncio.create_task(asking.ask(look))
    await asyncio.sleep(0)
    reported = await asyncio.gather(*(asking.ask(look) for _ in range(50)), return_exceptions=True)
    assert {type(one) for one in reported} == {redis_breaker.Silent}
    may_answer.set()
    assert (await probe, tried) == ("a copy", 2)
    assert await asking.ask(look) == "a copy"
