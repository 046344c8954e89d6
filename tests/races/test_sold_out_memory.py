"""Sold out from memory: never to a winner, and not for long after a unit was returned."""

import asyncio
import time

from pulsecart.runtime.event import CloudEvent
from tests.client import Client
from tests.races.books import Books

SELLABLE_S = 0.2


async def sold_out_everywhere(*tills: Client) -> None:
    """Let every till copy the gate: it then answers "sold out" without asking the gate."""
    for till in tills:
        for user in range(90, 93):
            assert (await till.buy(user=user)).body["type"].endswith("sold-out")


async def released(client: Client, order_id: str) -> CloudEvent:
    """Cancel an order; return the event that returns its units."""
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
    reported = await client.log("ecommerce.inventory.stock.adjusted.v1")
    return [event for event in reported if event.extensions["stockreason"] == "released"][-1]


async def test_a_winner_s_retry_after_sold_out_gets_the_stored_reply_from_every_worker(
    client: Client, other: Client
) -> None:
    """Fails without the copy's buyers: the memory answers "sold out" to the winner."""
    await client.restock(1, 1)
    won = await client.buy(user=1, key="mine")
    await sold_out_everywhere(client, other)
    for till in (client, other):
        again = await till.buy(user=1, key="mine")
        assert (again.status, again.body) == (200, won.body)


async def test_a_winner_s_retry_gets_the_stored_reply_from_a_gate_that_was_rebuilt_too(
    client: Client, other: Client, books: Books
) -> None:
    """Fails without the check of the stored replies: the new gate, which knows buyers and no keys, answers sold out."""
    await client.restock(1, 1)
    won = await client.buy(user=1, key="mine")
    await client.deps.redis.flushall()
    await sold_out_everywhere(client, other)
    for till in (client, other):
        again = await till.buy(user=1, key="mine")
        assert (again.status, again.body) == (200, won.body)
        assert (await till.buy(user=1, qty=2, key="mine")).status == 422
    await books.agree("1")


async def test_a_buyer_whose_order_was_canceled_gets_the_stored_reply_after_sold_out_too(
    client: Client, other: Client, books: Books
) -> None:
    """Fails if the gate's release or rebuild omits buyers who returned their units: the memory answers sold out."""
    await client.restock(1, 1)
    first = await client.buy(user=1, key="mine")
    await client.handle_event("settle", await released(client, first.body["orderId"]))
    assert (await client.buy(user=2)).status == 200
    for _ in range(2):
        await sold_out_everywhere(client, other)
        for till in (client, other):
            again = await till.buy(user=1, key="mine")
            assert (again.status, again.body) == (200, first.body)
        await client.deps.redis.flushall()
    await books.agree("1")


async def test_a_unit_that_comes_back_is_sellable_at_every_till_within_200_ms_and_once(
    client: Client, other: Client, books: Books
) -> None:
    """Without the copy's end after 100 ms, it is never sold; without the release's record, the gate counts it twice."""
    await client.restock(1, 1)
    order_id = (await client.buy(user=1)).body["orderId"]
    tills, user, waited = (client, other), 1, []
    for round in range(6):
        await sold_out_everywhere(*tills)
        event = await released(client, order_id)
        assert [await client.handle_event("settle", event) for _ in range(2)] == [204, 204]
        back = time.monotonic()
        assert await books.left() == 1
        user += 1
        while (bought := await tills[round % 2].buy(user=user)).status != 200:
            assert time.monotonic() - back < 5
            await asyncio.sleep(0.005)
        waited.append(time.monotonic() - back)
        order_id = bought.body["orderId"]
    assert sorted(waited)[2] < SELLABLE_S, waited  # this machine may be busy with others
    await books.agree("1")


async def test_a_crowd_at_every_till_gets_a_unit_that_came_back_once(
    client: Client, other: Client, books: Books
) -> None:
    await client.restock(1, 1)
    order_id = (await client.buy(user=1)).body["orderId"]
    await sold_out_everywhere(client, other)
    event = await released(client, order_id)
    buying = [asyncio.create_task(_insist((client, other)[user % 2], user)) for user in range(100, 130)]
    await asyncio.gather(client.handle_event("settle", event), other.handle_event("settle", event))
    won = [order for order in await asyncio.gather(*buying) if order]
    assert len(won) == 1
    await books.agree("1")


async def _insist(till: Client, user: int) -> str:
    """Repeat the purchase until it succeeds or the unit is sold to another buyer."""
    for _ in range(200):
        answer = await till.buy(user=user)
        if answer.status == 200:
            return str(answer.body["orderId"])
        if (await till.row("SELECT count(*) FROM orders WHERE status = 'CONFIRMED'")) == (1,):
            return ""
        await asyncio.sleep(0.005)
    raise AssertionError("the unit was sold to nobody")


async def test_a_release_that_comes_while_the_gate_is_rebuilt_counts_once(client: Client, books: Books) -> None:
    """Fails without the release's check of the claim: the new gate, which has the unit already, counts it again."""
    await client.restock(1, 1)
    order_id = (await client.buy(user=1)).body["orderId"]
    event = await released(client, order_id)
    await client.deps.redis.flushall()
    assert (await client.buy(user=2, qty=2)).status == 409  # rebuilt, with the returned unit
    assert await client.handle_event("settle", event) == 204
    assert await books.left() == 1
    await books.agree("1")
