"""A COMMIT whose outcome its process cannot know: the buyer is told to ask again, and ``settle`` finds out."""

import asyncio

from tests.client import Client, until
from tests.races.books import Books
from tests.races.proxy import Proxy

Cut = tuple[Client, Proxy]


async def opened(cut: Cut, client: Client, books: Books) -> Client:
    """The worker behind the proxy, its connections made; ``settle`` is awake beside it, with a line of its own."""
    worker, _ = cut
    worker.deps.pokes = client.deps.pokes
    assert (await worker.buy(user=1)).status == 200
    await until(books.quiet)
    return worker


async def test_an_order_whose_commit_was_carried_out_and_not_answered_is_found_won(
    cut_database: Cut, client: Client, books: Books, awake: None
) -> None:
    """Without ``settle``'s look at the claims (every ended lease given back): the gate sells the unit again."""
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
    """Without ``settle``: the last unit is never sold."""
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


async def test_the_whole_batch_of_an_unknown_commit_is_told_to_ask_again_and_nobody_buys_twice(
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
