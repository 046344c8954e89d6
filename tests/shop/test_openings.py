"""Before its start a sale sells nothing, and no buyer gets "sold out"."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps
from pulsecart.runtime.settings import Settings
from pulsecart.shop.pricing.openings import LOOK_AGAIN, Openings
from tests.client import Client
from tests.turned_clock import START, TurnedClock, turned_deps


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def deps(settings: Settings, clock: TurnedClock) -> AsyncIterator[Deps]:
    """Provide a shop in which the sale of product 1 starts in a minute."""
    await load_catalogue(settings.database_url, GOODS, SALE, START + timedelta(minutes=1))
    opened = turned_deps(settings, clock)
    yield opened
    await close_deps(opened)


async def storm(client: Client) -> Counter[str]:
    answers = await asyncio.gather(*(client.buy(user=user) for user in range(40)))
    return Counter("sold" if a.status == 200 else a.body["type"].rsplit("/")[-1] for a in answers)


async def test_who_comes_too_early_is_informed_and_takes_nothing_at_the_gate(
    client: Client, clock: TurnedClock
) -> None:
    await client.restock(1, 5)
    epoch = await client.row("SELECT epoch FROM stock WHERE product_id = '1'")
    for _ in range(3):
        assert await storm(client) == {"sale-not-open": 40}
        clock.turn(10)
    assert await client.deps.redis.hget("{gate}:p:1", "left") == b"5"
    assert await client.row("SELECT epoch FROM stock WHERE product_id = '1'") == epoch


async def test_in_its_first_microsecond_the_sale_is_open_to_who_stormed_it_before(
    client: Client, clock: TurnedClock
) -> None:
    await client.restock(1, 5)
    clock.at = START + timedelta(minutes=1, microseconds=-1)
    assert await storm(client) == {"sale-not-open": 40}
    clock.at = START + timedelta(minutes=1)
    assert await storm(client) == {"sold": 5, "sold-out": 35}


async def test_a_sale_that_is_let_begin_earlier_is_noticed_within_a_second(client: Client, clock: TurnedClock) -> None:
    assert (await client.buy()).status == 409
    await client.rows("UPDATE flash_sales SET starts_at = %s RETURNING 1", START)
    clock.at += LOOK_AGAIN + timedelta(microseconds=1)
    assert (await client.buy()).status == 200


async def test_a_sale_that_is_put_off_after_it_began_is_closed_again_at_once(
    client: Client, clock: TurnedClock
) -> None:
    clock.turn(60)
    assert (await client.buy(user=1)).status == 200
    await client.rows("UPDATE flash_sales SET starts_at = %s RETURNING 1", START + timedelta(hours=1))
    for _ in range(2):
        assert (await client.buy(user=2)).body["type"].endswith("sale-not-open")
    clock.turn(3600)
    assert (await client.buy(user=2)).status == 200


async def test_products_that_no_one_has_are_not_kept(clock: TurnedClock) -> None:
    async def read(product_id: str) -> None:
        raise LookupError(product_id)

    openings = Openings(read)
    for made_up in range(5):
        assert not await openings.is_closed(f"x{made_up}", clock.now())
    assert not openings._opens
