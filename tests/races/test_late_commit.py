"""A lease that ends during a slow transaction has one outcome: void and dropped, or won and kept."""

import asyncio

from tests.client import Client, until
from tests.races.books import Books

STOCK_ROW = "SELECT 1 FROM stock WHERE product_id = '1' FOR UPDATE"


async def test_a_claim_voided_before_its_late_transaction_reads_is_dropped_and_bought_again(
    client: Client, books: Books
) -> None:
    """Without ``decide``'s check of the claims the batch fails on the claim's row instead; without that too: both."""
    await books.opened(user=1)
    async with books.holding(STOCK_ROW):
        buying = asyncio.create_task(client.buy(user=2))
        claim_id = await books.open_claim()
        await books.someone_waits("%FROM stock s%")
        settling = asyncio.create_task(books.settled())
        assert await until(lambda: books.state_of(claim_id)) == "void"
    bought = await buying
    await settling
    assert bought.status == 200
    (won,) = await client.row("SELECT claim_id::text FROM orders WHERE order_id = %s", bought.body["orderId"])
    assert won != claim_id
    assert await client.row("SELECT count(*) FROM orders") == (2,)
    await books.agree("1")


async def test_a_claim_voided_between_its_transaction_s_reading_and_writing_fails_that_batch_once(
    client: Client, books: Books
) -> None:
    """Fails without the claim row's unique id: the order commits on a claim whose unit the gate sells again."""
    await books.opened(user=1)
    async with books.holding("LOCK TABLE buyer_units"):
        buying = asyncio.create_task(client.buy(user=2))
        claim_id = await books.open_claim()
        await books.someone_waits("%FROM buyer_units%")  # it has read the claims: none
        settling = asyncio.create_task(books.settled())
        assert await until(lambda: books.state_of(claim_id)) == "void"
    bought = await buying
    await settling
    assert bought.status == 200
    (won,) = await client.row("SELECT claim_id::text FROM orders WHERE order_id = %s", bought.body["orderId"])
    assert won != claim_id
    await books.agree("1")


async def test_a_claim_won_by_a_slow_transaction_is_found_won_by_settle_which_waits_for_it(
    client: Client, books: Books
) -> None:
    """Fails without the answer of ``void_claims`` (every ended lease returned): the gate sells the unit again."""
    await books.opened(user=2)
    async with books.commits_held():
        buying = asyncio.create_task(client.buy(user=2))
        claim_id = await books.open_claim()
        await books.someone_waits("COMMIT")
        settling = asyncio.create_task(books.settled())
        await books.someone_waits("%'void'%")
    assert (await buying).status == 200
    await settling
    assert await books.state_of(claim_id) == "won"
    await books.agree("1")
