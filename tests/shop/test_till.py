"""The till handles many orders by one script call and one transaction; an invalid order fails alone."""

import asyncio
from dataclasses import replace

import pytest

from pulsecart.processes.host import orders_wait
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import new_id
from pulsecart.shop.inventory.gate.gate import Answer
from pulsecart.shop.orders.decide import Denied, Held, Intent
from pulsecart.shop.orders.order import Line, Order
from pulsecart.shop.orders.till import Till
from tests.client import Client, until

TRANSACTIONS = "SELECT count(DISTINCT xmin::text) FROM orders"


def intent(deps: Deps, user: str, product: str = "1", qty: int = 1) -> Intent:
    order_id = new_id()
    order = Order(
        order_id=order_id,
        buyer_id=user,
        status="PENDING",
        lines=(Line(product, qty),),
        currency="",
        path="sync",
        version=1,
        created_at=deps.clock.now(),
        claim_id=order_id,
    )
    return Intent(order=order)


@pytest.fixture
def till(deps: Deps) -> Till:
    return deps.singleton(Till)


async def test_orders_that_come_together_are_one_transaction(client: Client) -> None:
    await client.buy(user=0)
    answers = await asyncio.gather(*(client.buy(user=user) for user in range(1, 200)))
    assert {answer.status for answer in answers} == {200}
    assert (await client.row(TRANSACTIONS))[0] <= 6
    assert len({answer.body["orderId"] for answer in answers}) == 199


async def test_orders_are_seen_to_wait_while_more_come_than_may_be_written_at_once(client: Client, deps: Deps) -> None:
    """Events of the log wait as long as orders wait for a transaction."""
    assert not orders_wait(deps)
    await client.buy(user=0)
    assert not orders_wait(deps)
    buying = asyncio.gather(*(client.buy(user=user) for user in range(1, 400)))
    seen = False
    while not buying.done():
        seen = seen or orders_wait(deps)
        await asyncio.sleep(0)
    assert {answer.status for answer in await buying} == {200}
    assert seen
    assert not orders_wait(deps)


async def test_a_gate_that_is_missing_is_made_once_however_many_ask(client: Client) -> None:
    await asyncio.gather(*(client.buy(user=user) for user in range(100)))
    assert await client.row("SELECT epoch FROM stock WHERE product_id = '1'") == (1,)


async def test_one_key_with_two_products_in_one_batch_sells_one_and_spoils_no_one_else(client: Client) -> None:
    for product in (1, 2):
        await client.buy(user=99, product=product)
    one, other, *rest = await asyncio.gather(
        client.buy(user=1, product=1, key="same"),
        client.buy(user=1, product=2, key="same"),
        *(client.buy(user=user, product=1) for user in range(2, 12)),
    )
    assert sorted((one.status, other.status)) == [200, 422]
    assert {answer.status for answer in rest} == {200}
    assert await client.row("SELECT count(*) FROM orders WHERE buyer_id = '1'") == (1,)


async def test_a_product_that_no_one_sells_is_said_so(deps: Deps, till: Till) -> None:
    assert await till.place(intent(deps, "1", "nope"), "") == Denied("UNKNOWN_PRODUCT", "nope")


async def test_what_the_gate_refuses_reaches_no_transaction(client: Client, deps: Deps, till: Till) -> None:
    await client.restock(1, 0)
    assert await till.place(intent(deps, "1"), "") == Answer("SOLD_OUT", "1")
    await client.restock(1, 9)
    assert await till.place(intent(deps, "1", qty=3), "") == Answer("LIMIT", "1")
    assert await client.row("SELECT count(*) FROM claims") == (0,)


async def test_a_gate_that_lets_through_more_than_the_table_has_is_rebuilt_and_asked_again(
    client: Client, deps: Deps, till: Till
) -> None:
    await client.restock(1, 1)
    await client.buy(user=1)
    await deps.redis.hset("{gate}:p:1", "left", "5")
    assert await till.place(intent(deps, "2"), "") == Answer("SOLD_OUT", "1")
    shelf = await till.gate.look("1")
    assert shelf
    assert shelf.left == 0


async def test_a_gate_that_forgot_a_buyer_s_units_is_corrected_by_the_table(
    client: Client, deps: Deps, till: Till
) -> None:
    await client.buy(user=1, qty=2)
    await deps.redis.delete("{gate}:b:1")
    assert await till.place(intent(deps, "1"), "") == Answer("LIMIT", "1")
    assert await client.row("SELECT units FROM buyer_units") == (2,)


async def test_leases_of_committed_orders_end_by_themselves(client: Client, till: Till) -> None:
    await asyncio.gather(*(client.buy(user=user) for user in range(30)))

    async def quiet() -> bool:
        return await till.gate.leases("1") == []

    await until(quiet, within_s=1)


async def test_a_full_till_says_come_again(deps: Deps) -> None:
    small = open_deps(replace(deps.settings, queue_max=5))
    till = small.singleton(Till)
    asked = await asyncio.gather(*(till.place(intent(small, str(n)), "") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Held) for answer in asked) == 5
    assert {type(answer).__name__ for answer in asked} == {"Held", "Unavailable"}
    await close_deps(small)


async def test_a_buyer_who_is_gone_after_the_claim_leaves_it_to_settle_at_once(
    client: Client, deps: Deps, till: Till
) -> None:
    await client.buy(user=0)
    woken = asyncio.Event()

    async def settle() -> None:
        woken.set()

    deps.wake_ups.register("settle", settle)
    async with deps.db.transaction() as tx:
        await tx.execute("SELECT 1 FROM stock FOR UPDATE")
        buying = asyncio.create_task(till.place(intent(deps, "1"), ""))
        await until(lambda: till.gate.leases("1"))
        buying.cancel()
        await asyncio.wait({buying})
    await asyncio.wait_for(woken.wait(), 5)
