"""Orders over the same products in opposite orders, cancels, expiries and resets at once: nobody waits in a circle."""

import asyncio
import random
from dataclasses import replace

import psycopg
import pytest

from runtime.deps import close_deps
from runtime.settings import Settings
from shop.db import due
from shop.event import CloudEvent
from tests.client import Client, until
from tests.races.books import Books

CREATED = "ecommerce.order.order.created.v1"
ORDERS = 300
PRODUCTS = ("1", "2", "3", "4")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, pay_within_s=0.02)


async def test_hundreds_of_orders_in_opposite_orders_with_cancels_expiries_and_resets_never_deadlock(
    client: Client, other: Client, books: Books, database_url: str
) -> None:
    """Without the sorted locks (lines as they come, in ``_give_back``): deadlocks, and 503 to who cancels."""
    for product in PRODUCTS:
        await client.restock(product, 100)
    chance = random.Random(7)
    created = await asyncio.gather(*(_order(client, user, chance) for user in range(ORDERS)))
    assert set(created) == {201}
    events = await client.log(CREATED)
    tills = (client, other)
    reserving = [_insist(tills[at % 2], event) for at, event in enumerate(events)]
    canceling = [_cancel(tills[at % 2], str(event.subject)) for at, event in enumerate(events) if at % 3 == 0]
    resetting = [client.restock(product, 60) for product in PRODUCTS]
    buying = [_buy(tills[user % 2], user, PRODUCTS[user % 4]) for user in range(100)]
    expiring = asyncio.create_task(_expire(tills))
    await asyncio.gather(*reserving, *canceling, *resetting, *buying)
    expiring.cancel()
    await books.balance()
    assert await client.row("SELECT count(*) FROM orders WHERE status = 'PENDING'") == (0,)
    for till in tills:
        await close_deps(till.deps)  # a connection tells its figures when it ends, at the latest
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert found.fetchone() == (0,)


async def _order(client: Client, user: int, chance: random.Random) -> int:
    products = chance.sample(PRODUCTS, chance.randint(2, 4))
    lines = [{"productId": product, "qty": chance.randint(1, 2)} for product in products]
    answered = await client.ask("POST", "/api/v1/orders", {"userId": user, "items": lines}, idempotency_key=f"o{user}")
    return answered.status


async def _insist(client: Client, event: CloudEvent) -> None:
    async def done() -> bool:
        return await client.hear("reserve", event) == 204

    await until(done, within_s=30)


async def _cancel(client: Client, order_id: str) -> None:
    async def done() -> bool:
        return (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200

    await until(done, within_s=30)


async def _buy(client: Client, user: int, product: str) -> None:
    async def done() -> bool:
        return (await client.buy(user=user, product=product)).status in (200, 409)

    await until(done, within_s=30)


async def _expire(tills: tuple[Client, ...]) -> None:
    while True:
        for till in tills:
            async with till.deps.share("expire").db.transaction() as tx:
                await due.cancel_overdue(tx)
        await asyncio.sleep(0.01)
