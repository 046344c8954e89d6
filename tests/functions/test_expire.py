"""expire: cancels an order that was not paid in time, at the exact second."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import close_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.shop.orders.db import due
from tests.client import Client
from tests.functions.turned import clock, deps
from tests.turned_clock import START, TurnedClock, turned_deps

__all__ = ["clock", "deps"]
PING = CloudEvent(id="p1", source="/apis/v1/pingsources/expire-sweep", type="dev.knative.sources.ping", data=b"{}")


async def stay_awake(client: Client) -> None:
    """Return the work that a wake-up starts."""
    wake = client.operations["expire"].wake
    assert wake
    await wake(client.deps)


async def test_an_unpaid_order_is_canceled_at_its_second_and_not_before(client: Client, clock: TurnedClock) -> None:
    sold = (await client.buy(qty=2)).body
    await stay_awake(client)
    assert (clock.now() - START).total_seconds() == 30
    shown = (await client.ask("GET", f"/api/v1/orders/{sold['orderId']}")).body
    assert (shown["status"], shown["reason"]) == ("CANCELED", "PAYMENT_EXPIRED")
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)
    assert await client.row("SELECT updated_at FROM orders") == (START + timedelta(seconds=30),)


async def test_with_a_quarter_of_an_hour_to_pay_it_stays_awake_for_its_second(
    settings: Settings, clock: TurnedClock
) -> None:
    await load_catalogue(settings.database_url, GOODS, SALE, START - timedelta(minutes=1))
    patient = turned_deps(replace(settings, pay_within_s=900), clock)
    try:
        client = Client(patient)
        await client.buy()
        await stay_awake(client)
        assert (clock.now() - START).total_seconds() == 900
        assert await client.row("SELECT status FROM orders") == ("CANCELED",)
    finally:
        await close_deps(patient)


async def test_each_order_has_its_own_second(client: Client, clock: TurnedClock) -> None:
    for user in range(4):
        await client.buy(user=user)
        clock.turn(5)
    await stay_awake(client)
    ends = await client.rows("SELECT updated_at FROM orders ORDER BY created_at")
    assert [(end - START).total_seconds() for (end,) in ends] == [30, 35, 40, 45]


async def test_a_microsecond_early_is_early(client: Client, clock: TurnedClock) -> None:
    await client.buy()
    clock.at = START + timedelta(seconds=30) - timedelta(microseconds=1)
    async with client.deps.db.transaction() as tx:
        assert await due.cancel(tx, await due.overdue(tx)) == set()
    clock.at = START + timedelta(seconds=30)
    async with client.deps.db.transaction() as tx:
        assert len(await due.cancel(tx, await due.overdue(tx))) == 1


async def test_what_was_paid_canceled_or_never_confirmed_does_not_expire(client: Client, clock: TurnedClock) -> None:
    paid, canceled = [(await client.buy(user=user)).body["orderId"] for user in (1, 2)]
    await client.buy(user=3, path="async")
    for event in await client.log("ecommerce.order.order.confirmed.v1"):
        if event.subject == paid:
            assert await client.handle_event("pay", event) == 204
    await client.ask("POST", f"/api/v1/orders/{canceled}/cancel")
    clock.turn(3600)
    await stay_awake(client)
    states = dict(await client.rows("SELECT buyer_id, coalesce(cancel_reason, status) FROM orders"))
    assert states == {"1": "PAID", "2": "BUYER", "3": "PENDING"}
    assert (clock.now() - START).total_seconds() == 3600


async def test_a_sweep_by_event_does_what_a_lost_wake_up_would_have(client: Client, clock: TurnedClock) -> None:
    await client.buy()
    clock.turn(31)
    assert await client.handle_event("expire", PING) == 204
    assert await client.handle_event("expire", PING) == 204
    assert await client.row("SELECT status FROM orders") == ("CANCELED",)
    assert len(await client.log("ecommerce.order.order.canceled.v1")) == 1


async def test_hundreds_that_fall_due_together_are_all_canceled_once(client: Client, clock: TurnedClock) -> None:
    await asyncio.gather(*(client.buy(user=user, product=2) for user in range(130)))
    clock.turn(31)
    await asyncio.gather(stay_awake(client), stay_awake(client))
    assert await client.row("SELECT count(*) FROM orders WHERE status = 'CANCELED'") == (130,)
    assert await client.row("SELECT available FROM stock WHERE product_id = '2'") == (500,)
    assert len(await client.log("ecommerce.order.order.canceled.v1")) == 130


async def test_an_order_that_cannot_be_canceled_holds_back_no_other(client: Client, clock: TurnedClock) -> None:
    sold = [(await client.buy(user=user, product=2)).body["orderId"] for user in range(20)]
    odd = f"ALTER TABLE orders ADD CONSTRAINT odd CHECK (order_id <> '{sold[7]}' OR status <> 'CANCELED')"
    async with client.deps.db.transaction() as tx:
        await tx.execute(odd)
    await stay_awake(client)
    assert (clock.now() - START).total_seconds() == 30, "nothing waits for the odd one"
    states = dict(await client.rows("SELECT order_id::text, status FROM orders"))
    assert states == dict.fromkeys(sold, "CANCELED") | {sold[7]: "CONFIRMED"}
    assert len(await client.log("ecommerce.order.order.canceled.v1")) == 19


async def test_a_late_confirmation_counts_from_when_the_stock_was_held(client: Client, clock: TurnedClock) -> None:
    await client.buy(path="async")
    clock.turn(300)
    for event in await client.log("ecommerce.order.order.created.v1"):
        await client.handle_event("reserve", event)
    await stay_awake(client)
    assert (clock.now() - START).total_seconds() == 330


async def test_an_event_that_is_no_tick_is_refused_for_good(client: Client) -> None:
    assert await client.handle_event("expire", structs.replace(PING, type="dev.knative.other")) == 400
