"""Orders over the same products in opposite orders, cancels, expiries and resets at once cause no deadlock."""

import asyncio
import random

import psycopg

from pulsecart.runtime.deps import close_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.db import due
from tests.client import Client, until
from tests.races.books import Books

CREATED = "ecommerce.order.order.created.v1"
ORDERS = 300
PRODUCTS = ("1", "2", "3", "4")


async def test_hundreds_of_orders_in_opposite_orders_with_cancels_expiries_and_resets_never_deadlock(
    client: Client, other: Client, books: Books, database_url: str
) -> None:
    for product in PRODUCTS:
        await client.restock(product, 100)
    chance = random.Random(7)
    tills = (client, other)
    events = await _carts(client, range(ORDERS), chance)
    reserving = [_insist(tills[at % 2], event) for at, event in enumerate(events)]
    canceling = [_cancel(tills[at % 2], str(event.subject)) for at, event in enumerate(events) if at % 3 == 0]
    resetting = [client.restock(product, 60) for product in PRODUCTS]
    buying = [_buy(tills[user % 2], user, PRODUCTS[user % 4]) for user in range(100)]
    expiring = asyncio.create_task(_expire(tills))
    await asyncio.gather(*reserving, *canceling, *resetting, *buying)
    expiring.cancel()
    assert await client.row("SELECT count(*) FROM orders WHERE status = 'PENDING'") == (0,)
    await books.balance()
    await _assert_no_deadlock(database_url, tills)


async def test_carts_given_back_while_others_are_taken_never_deadlock(
    client: Client, other: Client, books: Books, database_url: str
) -> None:
    """Fails without the sorted lines in ``_give_back``: deadlocks, and 503 to a caller that cancels."""
    for product in PRODUCTS:
        await client.restock(product, 5000)
    await client.rows("UPDATE stock SET buyer_limit = 0 RETURNING 1")
    chance, tills = random.Random(8), (client, other)
    first = await _carts(client, range(ORDERS), chance)
    await asyncio.gather(*(_insist(client, event) for event in first))
    second = await _carts(client, range(ORDERS, 2 * ORDERS), chance)
    canceling = [_cancel(tills[at % 2], str(event.subject)) for at, event in enumerate(first)]
    reserving = [_insist(tills[at % 2], event) for at, event in enumerate(second)]
    await asyncio.gather(*canceling, *reserving)
    states = dict(await client.rows("SELECT status, count(*) FROM orders GROUP BY 1"))
    assert states == {"CANCELED": ORDERS, "CONFIRMED": ORDERS}
    await books.balance()
    await _assert_no_deadlock(database_url, tills)


async def _assert_no_deadlock(database_url: str, tills: tuple[Client, ...]) -> None:
    for till in tills:
        await close_deps(till.deps)  # a connection reports its figures when it ends, at the latest
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert found.fetchone() == (0,)


async def _carts(client: Client, users: range, chance: random.Random) -> list[CloudEvent]:
    """Order the carts and return their events."""
    before = {event.id for event in await client.log(CREATED)}
    assert set(await asyncio.gather(*(_order(client, user, chance) for user in users))) == {201}
    return [event for event in await client.log(CREATED) if event.id not in before]


async def _order(client: Client, user: int, chance: random.Random) -> int:
    products = chance.sample(PRODUCTS, chance.randint(2, 4))
    lines = [{"productId": product, "qty": chance.randint(1, 2)} for product in products]
    answered = await client.ask("POST", "/api/v1/orders", {"userId": user, "items": lines}, idempotency_key=f"o{user}")
    return answered.status


async def _insist(client: Client, event: CloudEvent) -> None:
    async def done() -> bool:
        return await client.handle_event("reserve", event) == 204

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
                await tx.execute("UPDATE orders SET pay_by = %s WHERE status = 'CONFIRMED'", (tx.now,))
            async with till.deps.share("expire").db.transaction() as tx:
                await due.cancel(tx, await due.overdue(tx))
        await asyncio.sleep(0.01)
