"""Every consumer gets every event twice, late and out of order: the shop reaches the same state."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pulsecart.admin.audit.audit import audit
from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.flows.final_state import State, differences, final_state
from tests.flows.hands import BadHands, Hands
from tests.flows.small_shop import SmallShop, opened
from tests.turned_clock import TurnedClock

CONNECTIONS = 16  # of a host


@asynccontextmanager
async def played(settings: Settings, hands: Hands) -> AsyncIterator[SmallShop]:
    """Yield a shop that has followed the script to its end."""
    clock = TurnedClock(datetime.now(UTC))
    await load_catalogue(settings.database_url, GOODS, SALE, clock.now() - timedelta(minutes=1))
    deps = open_deps(replace(settings, accept_unsigned_buyers=True, pool_max=CONNECTIONS), clock)
    try:
        async with opened(deps, clock, hands) as shop:
            await shop.follow_the_script()
            yield shop
    finally:
        await close_deps(deps)


@pytest.fixture
def another_database(migrated: str) -> Iterator[str]:
    name = f"test_plain_{os.urandom(6).hex()}"
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_migrated".encode())
        yield migrated.replace("@/shop?", f"@/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def plain(settings: Settings, another_database: str) -> State:
    """Provide the script's final state with every event delivered once and in order; then clear Redis."""
    async with played(replace(settings, database_url=another_database), Hands()) as shop:
        state = await final_state(shop.client)
        await shop.client.deps.redis.flushall()
        return state


@pytest.mark.parametrize("seed", range(2))
async def test_every_event_twice_late_and_out_of_order_comes_to_the_same_end(
    settings: Settings, plain: State, seed: int
) -> None:
    hands = BadHands(seed)
    async with played(settings, hands) as shop:
        state = await final_state(shop.client)
        report = await asyncio.to_thread(audit, settings.database_url, settings.redis_url, settle_timeout_s=10)
    assert differences(plain, state) == {}
    assert (report.findings, hands.refused) == ([], [])
    _were_bad(hands, state)


def _were_bad(hands: BadHands, state: State) -> None:
    """Check that every consumer got every event twice, and some in the wrong order."""
    assert {name for (name,) in state["trigger_cursors"]} == hands.arrived.keys()
    for trigger, events in hands.arrived.items():
        times = {event.id: 0 for event in events}
        for event in events:
            times[event.id] += 1
        assert set(times.values()) == {2}, trigger
    assert all(hands.out_of_order(trigger) for trigger in ("notify", "project-orders"))


async def test_the_script_has_every_end_that_an_order_can_have(plain: State) -> None:
    ends = {(path, status, reason) for _, path, status, reason, *_ in plain["orders"]}
    assert {
        ("sync", "FULFILLED", None),
        ("async", "FULFILLED", None),
        ("orders", "FULFILLED", None),
        ("sync", "CANCELED", "BUYER"),
        ("async", "CANCELED", "PAYMENT_DECLINED"),
        ("sync", "CANCELED", "PAYMENT_EXPIRED"),
        ("async", "CANCELED", "SOLD_OUT"),
        ("async", "CANCELED", "LIMIT_REACHED"),
    } == ends
    assert {status for _, status, *_ in plain["payments"]} == {"CHARGED", "DECLINED", "REFUNDED", "VOIDED"}
