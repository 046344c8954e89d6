"""A caller says how long it waits; what is slow ends then, and holds nobody else up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.deps import Deps, close_deps, open_deps
from tests.client import Client, connect, until

BUY = "/api/v1/sync/purchase"
BODY = {"productId": 1, "userId": 7}


@asynccontextmanager
async def mute_redis(deps: Deps, place: Path) -> AsyncIterator[Client]:
    """The same shop, whose Redis takes every word and never answers."""
    talking: list[asyncio.StreamWriter] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.append(writer)

    socket = place / "mute.sock"
    async with await asyncio.start_unix_server(listen, socket):
        opened = open_deps(replace(deps.settings, redis_url=f"unix://{socket}?db=0"))
        yield Client(opened)
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


@pytest.mark.parametrize("said", ["", "soon", "0", "-1", "nan", "inf", "1,5"])
@pytest.mark.parametrize("path", [BUY, "/api/v1/sync/stock/init/1"])
async def test_a_time_that_is_none_is_400(client: Client, path: str, said: str) -> None:
    refused = await client.ask("POST", path, BODY, request_timeout=said)
    assert (refused.status, refused.body["type"].rsplit("/")[-1]) == (400, "timeout-malformed")


async def test_a_longer_wait_than_the_operation_s_changes_nothing(client: Client) -> None:
    assert (await client.ask("POST", BUY, BODY, request_timeout="86400")).status == 200


async def test_while_the_gate_is_mute_purchases_wait_and_everything_else_is_answered(
    client: Client, deps: Deps, tmp_path: Path
) -> None:
    order_id = (await client.buy(user=9)).body["orderId"]
    async with mute_redis(deps, tmp_path) as shop:
        waiting = [asyncio.create_task(shop.buy(user=user)) for user in range(200)]
        await asyncio.sleep(0)
        for path in (f"/api/v1/orders/{order_id}", "/api/v1/customers/9/orders", "/api/v1/sync/stock/1"):
            assert (await shop.ask("GET", path)).status == 200
        assert (await shop.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
        assert (await shop.buy(user=9, path="async")).status == 202
        assert not any(task.done() for task in waiting)
        late = await shop.ask("POST", BUY, BODY, request_timeout="0.05")
        assert late.status == 503
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
