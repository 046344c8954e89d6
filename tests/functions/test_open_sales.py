"""open_sales: prepares a sale before its start, publishes it at its start, and ends it at its end."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.settle.settlement import Settlement
from pulsecart.admin.demo import GOODS
from pulsecart.runtime.deps import close_deps
from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.runtime.settings import Settings
from pulsecart.shop.catalogue.copies.copies import Copies
from pulsecart.shop.inventory.gate.gate import Gate
from tests.client import Client, until
from tests.functions.turned import clock, deps
from tests.turned_clock import START, TurnedClock, turned_deps

__all__ = ["clock", "deps"]
PING = CloudEvent(id="p1", source="/apis/v1/pingsources/open-sales-sweep", type="dev.knative.sources.ping", data=b"{}")
STARTED, ENDED = (f"ecommerce.pricing.flash_sale.{name}.v1" for name in ("started", "ended"))


async def stay_awake(client: Client) -> None:
    """Return the work that a wake-up starts."""
    wake = client.operations["open_sales"].wake
    assert wake
    await wake(client.deps)


async def schedule(client: Client, product: int, starts_s: float, ends_s: float, **members: Any) -> str:
    body = {
        "productId": product,
        "price": 20,
        "startsAt": rfc3339(START + timedelta(seconds=starts_s)),
        "endsAt": rfc3339(START + timedelta(seconds=ends_s)),
    }
    answered = await client.ask("POST", "/api/v1/flash-sales", body | members)
    assert answered.status == 201, answered
    return str(answered.body["saleId"])


async def published(client: Client, kind: str, sale: str) -> list[datetime | None]:
    """Return the times in the sale's events of this kind."""
    return [event.time for event in await client.log(kind) if event.subject == sale]


async def test_a_sale_starts_and_ends_at_its_very_second(client: Client) -> None:
    sale = await schedule(client, 2, 100.5, 130.25)
    await stay_awake(client)
    assert await published(client, STARTED, sale) == [START + timedelta(seconds=100.5)]
    assert await published(client, ENDED, sale) == [START + timedelta(seconds=130.25)]
    assert await client.row("SELECT status FROM flash_sales WHERE sale_id = %s", sale) == ("ENDED",)


async def test_what_is_reported_is_numbered_in_the_order_it_happened(client: Client) -> None:
    one, two = await schedule(client, 2, 10, 200), await schedule(client, 3, 20, 100)
    await stay_awake(client)
    events = [e for e in await client.log(STARTED, ENDED) if e.subject in (one, two)]
    assert [(e.type, e.subject) for e in events] == [(STARTED, one), (STARTED, two), (ENDED, two), (ENDED, one)]
    assert [event.sequence for event in events] == [4, 5, 6, 7]
    assert dict(await client.rows("SELECT sale_id, version FROM flash_sales WHERE sale_id <> 'flash-1'")) == {
        one: 7,
        two: 6,
    }


async def test_before_the_first_second_gate_and_copies_are_warm(client: Client, clock: TurnedClock) -> None:
    sale = await schedule(client, 2, 100, 10_000)
    await client.deps.redis.flushall()
    waited = clock.wait

    async def wait(event: asyncio.Event, seconds: float) -> None:
        if clock.now() < START + timedelta(seconds=100) <= clock.now() + timedelta(seconds=seconds):
            assert await published(client, STARTED, sale) == []
            assert await Gate(client.deps.redis, 1).look("2")
            (copy,) = await Copies(client.deps.redis).look(["2"])
            assert copy
            assert copy.is_fresh(clock.now())
            warmed.append(clock.now())
        await waited(event, seconds)

    warmed: list[datetime] = []
    client.deps.wake_ups._wait = wait
    await stay_awake(client)
    assert warmed == [START + timedelta(seconds=70)]
    assert len(await published(client, STARTED, sale)) == 1


async def test_a_sale_starts_at_its_second_though_redis_is_away(
    client: Client, clock: TurnedClock, settings: Settings
) -> None:
    sale = await schedule(client, 2, 100, 10_000)
    opened = turned_deps(replace(settings, redis_url="redis://127.0.0.1:1/0"), clock)
    try:
        await stay_awake(Client(opened))
    finally:
        await close_deps(opened)
    assert await published(client, STARTED, sale) == [START + timedelta(seconds=100)]


async def test_anyone_who_wakes_it_warms_what_buyers_ask_for_first(client: Client) -> None:
    await stay_awake(client)
    copies = await Copies(client.deps.redis).look([product.product_id for product in GOODS])
    assert all(copies)


async def test_what_begins_after_the_next_sweep_is_left_to_it(client: Client, clock: TurnedClock) -> None:
    sale = await schedule(client, 2, 1000, 2000)
    await stay_awake(client)
    assert (clock.now(), await published(client, STARTED, sale)) == (START, [])
    clock.turn(1000 - 300 - 10)  # a sweep comes every five minutes
    assert await client.handle_event("open_sales", PING) == 204
    assert await published(client, STARTED, sale) == [START + timedelta(seconds=1000)]


async def test_two_that_stay_publish_each_sale_once(client: Client, clock: TurnedClock, settings: Settings) -> None:
    sales = [await schedule(client, product, 50, 60) for product in (2, 3, 4)]
    other = turned_deps(settings, clock)
    try:
        await asyncio.gather(stay_awake(client), stay_awake(Client(other)))
    finally:
        await close_deps(other)
    for sale in sales:
        assert (len(await published(client, STARTED, sale)), len(await published(client, ENDED, sale))) == (1, 1)


async def test_a_sale_that_no_one_opened_in_its_time_only_ends(client: Client, clock: TurnedClock) -> None:
    sale = await schedule(client, 2, 10, 20)
    clock.turn(3600)
    assert await client.handle_event("open_sales", PING) == 204
    assert (await published(client, STARTED, sale), len(await published(client, ENDED, sale))) == ([], 1)


async def test_a_sale_that_cannot_begin_holds_back_no_other_and_is_logged(
    client: Client, clock: TurnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    broken, healthy = await schedule(client, 2, 10, 3600), await schedule(client, 3, 20, 40)
    async with client.deps.db.transaction() as tx:
        await tx.execute("ALTER TABLE flash_sales DROP CONSTRAINT flash_sales_years")
    await client.rows("UPDATE flash_sales SET ends_at = '10000-01-01Z' WHERE sale_id = %s RETURNING 1", broken)
    await stay_awake(client)
    assert await published(client, STARTED, healthy) == [START + timedelta(seconds=20)]
    assert await published(client, ENDED, healthy) == [START + timedelta(seconds=40)]
    output = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [message for message in output if "not be started or ended" in message] == [
        f"sale {broken} could not be started or ended"
    ]


@pytest.mark.parametrize("redis", ["there", "away"])
async def test_at_a_sale_s_end_its_limit_ends(
    client: Client, clock: TurnedClock, settings: Settings, redis: str
) -> None:
    sale = await schedule(client, 2, 0, 50, buyerLimit=1)
    assert [(await client.buy(product=2)).status for _ in range(2)] == [200, 409]
    url = settings.redis_url if redis == "there" else "redis://127.0.0.1:1/0"
    opened = turned_deps(replace(settings, redis_url=url), clock)
    try:
        await stay_awake(Client(opened))
    finally:
        await close_deps(opened)
    assert await published(client, ENDED, sale) == [START + timedelta(seconds=50)]
    assert await client.row("SELECT buyer_limit FROM stock WHERE product_id = '2'") == (0,)
    settlement = Settlement(client.deps)

    async def bought() -> bool:
        if redis == "away":
            await settlement.act()  # the gate is of a past epoch
        return (await client.buy(product=2, qty=3)).status == 200

    await until(bought)


async def test_an_end_moved_forward_is_kept_by_who_stays(client: Client, clock: TurnedClock) -> None:
    sale = await schedule(client, 2, 0, 3000)
    await stay_awake(client)
    answered = await client.ask(
        "PUT", f"/api/v1/flash-sales/{sale}", {"endsAt": rfc3339(START + timedelta(seconds=77))}, if_match="*"
    )
    assert answered.status == 200
    await stay_awake(client)
    assert await published(client, ENDED, sale) == [START + timedelta(seconds=77)]
