"""Charge, cancel and expiry race for one order: one of them decides, and units and money follow it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.shop.orders.db import due, orders
from pulsecart.shop.orders.order import stepped
from tests.client import Client
from tests.races.books import Books
from tests.turned_clock import TurnedClock, turned_deps

CONFIRMED = "ecommerce.order.order.confirmed.v1"
ROUNDS = 12


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def deps(settings: Settings, clock: TurnedClock) -> AsyncIterator[Deps]:
    await load_catalogue(settings.database_url, GOODS, SALE, clock.now() - timedelta(minutes=1))
    opened = turned_deps(settings, clock)
    yield opened
    await close_deps(opened)


async def confirmed(client: Client, user: int) -> CloudEvent:
    """Purchase, and return the event that triggers the charge."""
    order_id = (await client.buy(user=user)).body["orderId"]
    return next(event for event in await client.log(CONFIRMED) if event.subject == order_id)


async def expire(client: Client) -> int:
    async with client.deps.share("expire").db.transaction() as tx:
        return len(await due.cancel(tx, await due.overdue(tx)))


async def cancel(client: Client, order_id: str) -> int:
    return (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status


async def deliver_all(client: Client) -> None:
    """Deliver every event to its subscribers, until there are no new events."""
    done: set[str] = set()
    while waiting := [event for event in await client.log() if event.id not in done]:
        for event in waiting:
            for name in ("pay", "fulfil", "refund", "settle"):
                if event.type in client.operations[name].events:
                    assert await client.handle_event(name, event) == 204
            done.add(event.id)


async def test_of_an_expiry_and_a_charge_that_come_together_one_decides(
    client: Client, books: Books, clock: TurnedClock
) -> None:
    """Fails without the order's lock and the state machine: PAID and CANCELED happen; the unit is sold and free."""
    await client.restock(1, 1000)
    for round in range(ROUNDS):
        event = await confirmed(client, round)
        clock.turn(31)
        await asyncio.gather(client.handle_event("pay", event), expire(client), cancel(client, str(event.subject)))
        reported = [
            reported.type.split(".")[-2] for reported in await client.log() if reported.subject == event.subject
        ]
        assert reported.count("canceled") <= 1
        assert reported.count("paid") + reported.count("canceled") >= 1
        (status,) = await client.row("SELECT status FROM orders WHERE order_id = %s", event.subject)
        assert (status == "CANCELED") == ("canceled" in reported)
    await deliver_all(client)
    money = await client.rows("SELECT o.status, p.status FROM orders o LEFT JOIN payments p USING (order_id)")
    assert set(money) <= {
        ("FULFILLED", "CHARGED"),
        ("CANCELED", "REFUNDED"),
        ("CANCELED", "VOIDED"),
        ("CANCELED", None),
    }
    await books.agree("1")


async def test_an_order_canceled_by_ten_at_once_gives_its_units_back_once(client: Client, books: Books) -> None:
    """Fails without the lock under which ``cancel`` reads: the second caller fails, or returns units again."""
    await client.restock(1, 1000)
    event = await confirmed(client, 1)
    order_id = str(event.subject)
    assert set(await asyncio.gather(*(cancel(client, order_id) for _ in range(10)))) == {200}
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)
    await deliver_all(client)
    await books.agree("1")


async def test_an_order_that_pays_in_its_last_second_is_left_alone_by_the_expiry_that_looked_before(
    client: Client, books: Books, clock: TurnedClock
) -> None:
    """Fails without SKIP LOCKED (a plain read, then cancel): the expiry rejects or cancels an order just paid."""
    event = await confirmed(client, 1)
    clock.turn(31)
    async with client.deps.share("pay").db.transaction() as tx:
        order = await orders.find(tx, str(event.subject), lock=True)
        assert order
        assert await expire(client) == 0
        await orders.move(tx, [stepped(order, "PAID")])
    assert await expire(client) == 0
    assert await client.row("SELECT status, pay_by FROM orders") == ("PAID", None)
    await books.balance()


async def test_no_one_s_late_step_changes_an_order_that_has_ended(client: Client, clock: TurnedClock) -> None:
    event = await confirmed(client, 1)
    assert await cancel(client, str(event.subject)) == 200
    clock.turn(31)
    assert await expire(client) == 0
    assert await client.handle_event("pay", event) == 204
    assert await client.row("SELECT status, cancel_reason FROM orders") == ("CANCELED", "BUYER")
    assert await client.row("SELECT count(*) FROM payments") == (0,)
