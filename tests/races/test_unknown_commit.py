"""After a COMMIT with an unknown outcome the answer asks the buyer to retry, and ``settle`` finds the outcome."""

import asyncio
from collections.abc import Sequence

import pytest

from pulsecart.shop.inventory.gate.gate import Answer, ClaimRequest, Gate
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.decide import Denied, Intent
from pulsecart.shop.orders.till import Till
from tests.client import Client, until
from tests.races.books import Books
from tests.races.proxy import Proxy

Cut = tuple[Client, Proxy]
REBUILD = b"SELECT product_id, available, buyer_limit"


async def opened(cut: Cut, client: Client, books: Books) -> Client:
    """Return the worker behind the proxy, connected; ``settle`` runs beside it, with a connection of its own."""
    worker, _ = cut
    worker.deps.wake_ups = client.deps.wake_ups
    assert (await worker.buy(user=1)).status == 200
    await until(books.quiet)
    return worker


async def test_an_order_whose_commit_was_carried_out_and_not_answered_is_found_won(
    cut_database: Cut, client: Client, books: Books, awake: None
) -> None:
    """Fails without ``settle``'s check of the claims (every ended lease returned): the gate sells the unit again."""
    worker, (_, proxy) = await opened(cut_database, client, books), cut_database
    proxy.cut(b"COMMIT", "after", b"COMMIT\0")
    unknown = await worker.buy(user=2, key="mine")
    assert (unknown.status, unknown.body["type"].rsplit("/")[-1], proxy.cuts) == (503, "outcome-unknown", 1)
    again = await worker.buy(user=2, key="mine")
    assert again.status == 200
    order = await client.ask("GET", f"/api/v1/orders/{again.body['orderId']}")
    assert order.body["status"] == "CONFIRMED"
    await until(books.quiet)
    assert await books.state_of(again.body["orderId"]) == "won"
    assert await client.row("SELECT count(*) FROM orders") == (2,)
    await books.agree("1")


async def test_an_order_whose_commit_never_arrived_is_void_and_its_unit_sold_again(
    cut_database: Cut, client: Client, books: Books, awake: None
) -> None:
    """Fails without ``settle``: the last unit is never sold."""
    await client.restock(1, 2)
    worker, (_, proxy) = await opened(cut_database, client, books), cut_database
    proxy.cut(b"COMMIT", "before")
    unknown = await worker.buy(user=2, key="mine")
    assert (unknown.status, unknown.body["type"].rsplit("/")[-1], proxy.cuts) == (503, "outcome-unknown", 1)
    claim_id = await books.open_claim()
    assert (await worker.buy(user=2, key="mine")).body["type"].endswith("request-in-flight")

    async def sold() -> bool:
        return (await worker.buy(user=3)).status == 200

    await until(sold)
    assert await books.state_of(claim_id) == "void"
    late = await worker.buy(user=2, key="mine")
    assert late.body["type"].endswith("sold-out")
    await books.agree("1")


async def test_the_whole_batch_of_an_unknown_commit_is_asked_to_retry_and_no_one_buys_twice(
    cut_database: Cut, client: Client, books: Books, awake: None
) -> None:
    worker, (_, proxy) = await opened(cut_database, client, books), cut_database
    proxy.cut(b"COMMIT", "after", b"COMMIT\0")
    buyers = range(2, 12)
    first = await _all(worker, buyers)
    assert 503 in first
    again = await _all(worker, buyers)
    assert set(again) == {200}
    assert await client.row("SELECT count(*) FROM orders") == (11,)
    await books.agree("1")


async def _all(worker: Client, buyers: range) -> list[int]:
    return [a.status for a in await asyncio.gather(*(worker.buy(user=b, key=f"key-{b}") for b in buyers))]


async def test_a_gate_that_could_not_be_rebuilt_is_left_to_settle(
    cut_database: Cut, client: Client, books: Books, awake: None
) -> None:
    """Canceled during its claim, then PostgreSQL is lost: without the wake-up, the unit waits for the sweep."""
    worker, (_, proxy) = await opened(cut_database, client, books), cut_database
    order_id = (await client.buy(user=2, path="async")).body["orderId"]
    async with client.deps.db.transaction() as tx:
        order = await orders.find(tx, order_id)
    assert order is not None
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
    proxy.cut(REBUILD, "before")
    assert await worker.deps.singleton(Till).place(Intent(order=order, waiting=True), "") == Denied("NOT_WAITING")
    await until(lambda: _cut(proxy))
    await until(books.quiet)
    await books.agree("1")


async def test_a_claim_that_reaches_the_gate_after_its_buyer_has_gone_is_settled_too(
    client: Client, books: Books, awake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the second check: settle runs before the claim exists, and the unit waits for the sweep."""
    await books.opened()
    asked, goes_on, claim = asyncio.Event(), asyncio.Event(), Gate.claim

    async def slow(self: Gate, wishes: Sequence[ClaimRequest], won: Sequence[tuple[str, str]] = ()) -> list[Answer]:
        asked.set()
        await goes_on.wait()
        return await claim(self, wishes, won)

    monkeypatch.setattr(Gate, "claim", slow)
    buying = asyncio.create_task(client.buy(user=2))
    await asked.wait()
    buying.cancel()
    await asyncio.wait({buying})
    await until(lambda: _asleep(client))
    goes_on.set()
    await books.open_claim()
    await until(books.quiet)
    await books.agree("1")


async def _asleep(client: Client) -> bool:
    return not client.deps.wake_ups.awake("settle")


async def _cut(proxy: Proxy) -> bool:
    return proxy.cuts == 1
