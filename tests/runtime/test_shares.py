"""Operations share a pool's connections: each has a limit; the last ones go to operations without any."""

import asyncio
import random
from dataclasses import replace

import pytest

from pulsecart.runtime.db.database import Database
from pulsecart.runtime.db.shares import LEAST, Share, Shares, pool_size
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.settings import Settings

OPERATIONS, CONNECTIONS = 60, 40


def opened(settings: Settings, connections: int) -> Deps:
    return open_deps(replace(settings, pool_max=connections))


async def held(share: Share, count: int) -> list[asyncio.Task[None]]:
    """Request ``count`` connections and keep those that are granted."""
    asking = [asyncio.create_task(share.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    return asking


async def test_an_operation_has_its_bound_and_no_more() -> None:
    share = Shares(10).of(3)
    asking = await held(share, 5)
    assert (share.held, [task.done() for task in asking]) == (3, [True, True, True, False, False])
    share.release()
    await asyncio.wait_for(asking[3], 5)
    assert not asking[4].done()
    asking[4].cancel()


async def test_the_last_connections_are_for_operations_that_have_none() -> None:
    shares = Shares(8)
    slow, other, third = shares.of(8), shares.of(8), shares.of(2)
    waiting = await held(slow, 8)
    assert slow.held == 6
    await asyncio.wait_for(other.acquire(), 5)
    await asyncio.wait_for(third.acquire(), 5)
    assert [slow.held, other.held, third.held] == [6, 1, 1]
    for task in waiting:
        task.cancel()


async def test_operations_take_turns_for_what_comes_back() -> None:
    shares = Shares(4)
    slow, first, second = shares.of(4), shares.of(4), shares.of(4)
    await held(slow, 3)
    await held(first, 1)
    asking = [*await held(first, 2), *await held(second, 2)]
    slow.release()
    await asyncio.sleep(0)
    assert (first.held, second.held) == (1, 1), "who has none goes before one that has"
    slow.release()
    slow.release()
    await asyncio.sleep(0)
    assert first.held + second.held == 3, "the last one stays free"
    for task in asking:
        task.cancel()


async def test_one_that_stops_waiting_costs_no_one_a_connection() -> None:
    rng, shares = random.Random(7), Shares(5)
    mine = [shares.of(rng.randint(1, 4)) for _ in range(6)]

    async def use(share: Share) -> None:
        await share.acquire()
        try:
            await asyncio.sleep(0)
        finally:
            share.release()

    for _ in range(200):
        tasks = [asyncio.create_task(use(rng.choice(mine))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in rng.sample(tasks, 8):
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert [share.held for share in mine] == [0] * 6
    everyone = [shares.of(1) for _ in range(5)]
    for share in everyone:
        await asyncio.wait_for(share.acquire(), 5)


async def test_sixty_operations_run_within_forty_connections(settings: Settings) -> None:
    deps = opened(settings, CONNECTIONS)
    databases = [deps.share(f"operation-{n}", 4).db for n in range(OPERATIONS)]
    most = 0

    async def work(db: Database) -> None:
        nonlocal most
        async with db.transaction() as tx:
            counted = await tx.row("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            most = max(most, counted[0] if counted else 0)

    await asyncio.gather(*(work(db) for db in databases for _ in range(10)))
    await close_deps(deps)
    assert 0 < most <= CONNECTIONS


async def test_slow_operations_leave_a_connection_for_each_of_the_others(settings: Settings) -> None:
    deps, leave = opened(settings, 8), asyncio.Event()

    async def keep(db: Database) -> None:
        async with db.connection():
            await leave.wait()

    both = [deps.share(name, 4).db for name in ("slow", "slower")]
    slow = [asyncio.create_task(keep(db)) for db in both for _ in range(8)]
    await asyncio.sleep(0)
    for n in range(2):
        async with deps.share(f"other-{n}", 1).db.transaction() as tx:
            assert await tx.row("SELECT 1") == (1,)
    leave.set()
    await asyncio.gather(*slow)
    await close_deps(deps)


async def test_a_pool_is_as_large_as_postgresql_and_the_cores_allow(settings: Settings) -> None:
    whole = await pool_size(settings.database_url, 1)
    assert LEAST <= whole <= 40
    assert await pool_size(settings.database_url, 2) == max(LEAST, whole // 2)
    assert await pool_size(settings.database_url, 1000) == LEAST
    assert await pool_size("postgresql://nowhere@127.0.0.1:1/none", 1) >= LEAST


async def test_a_share_that_is_used_up_is_said_to_be_busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecart.runtime.db.database.CONNECT_WAIT_S", 0.05)
    deps = opened(settings, 4)
    db = deps.share("one", 1).db
    async with db.connection():
        with pytest.raises(Unavailable, match="in use"):
            async with db.connection():
                pass
    await close_deps(deps)
