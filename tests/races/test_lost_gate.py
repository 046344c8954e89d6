"""Redis loses its data during purchases: claims of the old gate cannot commit; no unit is lost or sold twice."""

import asyncio

import pytest

from pulsecart.runtime.db.database import Database
from pulsecart.runtime.event import new_id
from pulsecart.shop.inventory.gate.gate import Answer, ClaimRequest, Gate
from pulsecart.shop.inventory.gate_rebuild import NEVER, rebuild
from pulsecart.shop.orders.decide import Denied, Held, Intent
from pulsecart.shop.orders.order import Line, Order
from pulsecart.shop.orders.till import Till
from tests.client import Client, until
from tests.races.books import Books
from tests.races.proxy import Proxy


def order_of(client: Client, user: str) -> Order:
    order_id = new_id()
    return Order(
        order_id=order_id,
        buyer_id=user,
        status="PENDING",
        lines=(Line("1", 1),),
        currency="",
        path="sync",
        version=1,
        created_at=client.deps.clock.now(),
        claim_id=order_id,
    )


async def claimed(till: Till, order: Order) -> Answer:
    wish = ClaimRequest(str(order.claim_id), order.buyer_id, "", (("1", 1),))
    return await till.claims.submit(wish)


async def test_a_claim_of_a_lost_gate_cannot_commit_once_the_gate_was_rebuilt(
    client: Client, other: Client, books: Books
) -> None:
    """Fails without the epoch (``decide``, the guard's WHERE): the old claim takes a unit that the new gate counted."""
    await client.restock(1, 2)
    till = client.deps.singleton(Till)
    order = order_of(client, "1")
    answer = await claimed(till, order)
    await client.deps.redis.flushall()
    assert (await other.buy(user=2)).status == 200
    outcome = await till.commits.submit(Intent(order=order, epochs=answer.epochs))
    assert outcome == Denied("STALE", "1")
    assert (await client.buy(user=3)).status == 200
    assert (await other.buy(user=4)).status == 409
    await books.agree("1")


async def test_with_one_unit_left_one_of_two_buyers_wins_though_the_gate_was_lost_between_them(
    client: Client, other: Client, books: Books
) -> None:
    """Fails without the epoch and the check of the units left: the table's CHECK fails the whole batch."""
    await client.restock(1, 1)
    till = client.deps.singleton(Till)
    order = order_of(client, "1")
    answer = await claimed(till, order)
    await client.deps.redis.flushall()
    second, first = await asyncio.gather(
        other.buy(user=2), till.commits.submit(Intent(order=order, epochs=answer.epochs))
    )
    assert [second.status == 200, isinstance(first, Held)].count(True) == 1
    await books.settled()
    await books.agree("1")


async def test_a_claim_refused_before_the_new_gate_is_finished_rebuilds_it_once_more(
    client: Client, books: Books, awake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without a second rebuild: the claim joins the rebuild that included it; its unit waits for the sweep."""
    goes_on = asyncio.Event()

    async def slow(db: Database, gate: Gate, product_id: str, wrong_epoch: int = NEVER) -> bool:
        made = await rebuild(db, gate, product_id, wrong_epoch)
        if wrong_epoch == NEVER:
            await goes_on.wait()
        return made

    monkeypatch.setattr("pulsecart.shop.orders.till.rebuild", slow)
    order = order_of(client, "1")
    buying = asyncio.create_task(client.buy(user=2))
    await until(lambda: books.gate.look("1"))
    answer = await claimed(client.deps.singleton(Till), order)
    refused = await client.deps.singleton(Till).commits.submit(Intent(order=order, waiting=True, epochs=answer.epochs))
    assert refused == Denied("NOT_WAITING")
    await until(books.quiet)
    goes_on.set()
    assert (await buying).status == 200
    await books.agree("1")


async def test_a_gate_lost_under_a_crowd_sells_exactly_what_there_is(
    client: Client, other: Client, books: Books
) -> None:
    await client.restock(1, 40)
    at_once = asyncio.Semaphore(8)

    async def buy(user: int) -> int:
        async with at_once:
            return (await (client, other)[user % 2].buy(user=user)).status

    buying = [asyncio.ensure_future(buy(user)) for user in range(200)]
    for sold in (5, 15, 25):
        await until(lambda sold=sold: client.row("SELECT 1 FROM orders HAVING count(*) >= %s", sold))  # type: ignore[misc]
        await client.deps.redis.flushall()
    answers = await asyncio.gather(*buying)
    assert set(answers) <= {200, 409, 503}
    await books.settled()
    left = answers.count(200)
    while (more := await client.buy(user=1000 + left)).status == 200:
        left += 1
    assert (left, more.body["type"].rsplit("/")[-1]) == (40, "sold-out")
    await books.agree("1")


async def test_while_redis_is_away_buyers_get_503_and_nothing_is_lost(
    cut_gate: tuple[Client, Proxy], books: Books
) -> None:
    client, proxy = cut_gate
    await books.opened(user=1)
    proxy.refuses = True
    proxy.hang_up()
    refused = await client.buy(user=2, key="again")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.body["type"].endswith("redis-unavailable")
    proxy.refuses = False
    assert (await client.buy(user=2, key="again")).status == 200
    await books.agree("1")


async def test_a_claim_whose_answer_was_lost_is_settled_and_its_unit_sold_to_another(
    cut_gate: tuple[Client, Proxy], client: Client, books: Books, awake: None
) -> None:
    """Fails without the wake-up by a till without an answer: the unit waits for the sweep, five minutes."""
    cut, proxy = cut_gate
    cut.deps.wake_ups = client.deps.wake_ups  # settle is awake in this process, and reaches Redis
    await client.restock(1, 1)
    proxy.cut(b"EVALSHA", "after")
    assert (await cut.buy(user=1)).status == 503
    assert proxy.cuts == 1
    claim_id = await books.open_claim()
    assert (await client.buy(user=2)).status == 409

    async def sold() -> bool:
        return (await client.buy(user=2)).status == 200

    await until(sold)
    assert await books.state_of(claim_id) == "void"
    await books.agree("1")


async def test_the_same_claim_asked_twice_is_won_once(client: Client, books: Books) -> None:
    """Fails without the script's check of the claim: two units are gone."""
    await books.opened(user=1)
    wish = ClaimRequest(new_id(), "2", "key", (("1", 1),))
    first, second = await books.gate.claim([wish]), await books.gate.claim([wish])
    assert first == second
    assert first[0].verdict == "WON"
    assert await books.left() == 998
