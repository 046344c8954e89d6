"""In a sale, most views of products are answered from copies, while the shop changes these products."""

import asyncio

import httpx

from tests.client import until
from tests.local.running_shop import RunningShop
from tests.tokens import bearer

VISITORS, AT_ONCE = 800, 40
CHANGES = 2
WITHIN_S = 20.0


async def cache_lookups(http: httpx.AsyncClient) -> dict[str, float]:
    """Return the counts ``hit``, ``miss``, ``stale`` so far, and the ``ratio``."""
    reported = {}
    for line in (await http.get("/metrics")).text.splitlines():
        if line.startswith("product_cache_lookups_total{"):
            name, value = line.split()
            reported[name.split('"')[1]] = float(value)
        elif line.startswith("product_cache_hit_ratio "):
            reported["ratio"] = float(line.split()[1])
    return reported


async def test_in_a_sale_more_than_four_of_five_look_at_a_copy(shop: RunningShop) -> None:
    keeper = {**bearer(shop.data, "1", "admin"), "if-match": "*"}
    looked = 0
    async with httpx.AsyncClient(base_url=shop.url, timeout=30) as http:
        await http.put("/api/v1/sync/stock/1/reset?stock=100")
        product = (await http.get("/api/v1/products/1")).json()
        body = {name: product[name] for name in ("sku", "name", "price", "currency", "category", "description")}
        turns, many = asyncio.Semaphore(AT_ONCE), asyncio.Condition()

        async def visit(user: int) -> int:
            nonlocal looked
            async with turns:
                seen = await http.get("/api/v1/products/1")
                assert seen.status_code == 200
                looked += 1
                async with many:
                    many.notify_all()
                price = seen.json()["sale"]["price"]
                asked = {"productId": 1, "userId": user, "expectedPrice": price}
                return (await http.post("/api/v1/sync/purchase", json=asked)).status_code

        async def change() -> None:
            for number in range(1, CHANGES + 1):
                async with many, asyncio.timeout(WITHIN_S):
                    await many.wait_for(lambda: looked >= VISITORS * number // (CHANGES + 1))  # noqa: B023  # at once
                name = f"Headphones {number}"
                changed = await http.put("/api/v1/products/1", json=body | {"name": name}, headers=keeper)
                assert changed.status_code == 200, changed.text

        before = await cache_lookups(http)
        statuses, _ = await asyncio.gather(asyncio.gather(*map(visit, range(1, VISITORS + 1))), change())
        assert {status: statuses.count(status) for status in set(statuses)} == {200: 100, 409: VISITORS - 100}
        after = await cache_lookups(http)

        async def newest() -> bool:
            return bool((await http.get("/api/v1/products/1")).json()["name"] == f"Headphones {CHANGES}")

        await until(newest, WITHIN_S)
    hits, misses = after["hit"] - before.get("hit", 0), after["miss"] - before.get("miss", 0)
    assert hits + misses == VISITORS
    assert misses >= 1, "a change ends the copy"
    assert hits / (hits + misses) > 0.8
    assert after["ratio"] > 0.8
