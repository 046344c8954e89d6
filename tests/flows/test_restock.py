"""After a stock reset was answered, its caller's next purchase sees the new stock, on every worker."""

import asyncio
from collections.abc import Callable
from itertools import count

import httpx

from tests.client import Client
from tests.local.running_shop import RunningShop

ROUNDS = 3
users = count(1_000)


async def test_a_reset_is_seen_by_the_next_purchase_though_sold_out_is_remembered(client: Client) -> None:
    for _ in range(ROUNDS):
        await client.restock(1, 0)
        assert {(await client.buy(user=next(users))).status for _ in range(5)} == {409}
        await client.restock(1, 5)
        assert (await client.buy(user=next(users))).status == 200
        later = {"productId": 2, "price": 1, "endsAt": "2100-01-01T00:00:00Z", "units": 0}
        sale = await client.ask("POST", "/api/v1/flash-sales", later)
        assert (await client.buy(product=2, user=next(users))).status == 409
        etag = (await client.ask("GET", sale.headers["location"])).headers["etag"]
        await client.ask("PUT", sale.headers["location"], {"endsAt": "2020-01-01T00:00:00Z"}, if_match=etag)
        sale = await client.ask("POST", "/api/v1/flash-sales", later | {"units": 3})
        assert (await client.buy(product=2, user=next(users))).status == 200
        etag = (await client.ask("GET", sale.headers["location"])).headers["etag"]
        await client.ask("PUT", sale.headers["location"], {"endsAt": "2020-01-01T00:00:00Z"}, if_match=etag)


async def test_a_reset_is_seen_though_a_crowd_keeps_every_worker_s_memory_of_sold_out_fresh(
    start_shop: Callable[..., RunningShop],
) -> None:
    shop = start_shop(workers=2, RATE_LIMIT="0")
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
    async with httpx.AsyncClient(base_url=shop.url, timeout=20, limits=limits) as http:

        async def buy() -> int:
            body = {"productId": 3, "userId": next(users)}
            return (await http.post("/api/v1/sync/purchase", json=body)).status_code

        async def reset(units: int) -> None:
            assert (await http.put(f"/api/v1/sync/stock/3/reset?stock={units}")).status_code == 200

        async def crowd() -> None:
            while True:
                await buy()

        others = [asyncio.create_task(crowd()) for _ in range(3)]
        try:
            for _ in range(ROUNDS):
                await reset(0)
                assert [await buy() for _ in range(4)] == [409] * 4
                await reset(100_000)
                assert [await buy() for _ in range(4)] == [200] * 4
        finally:
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)
