"""A caller's rate is limited: headers announce the limit, and requests above it get 429."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Clock, Deps, close_deps, open_deps
from pulsecart.runtime.fresh import Fresh
from pulsecart.serving import rate_limit
from pulsecart.serving.addresses import Proxies
from pulsecart.shop.orders.db.queue import Queue, queue
from tests.client import Answered, Client

QUOTA = 3
STOCK = "/api/v1/sync/stock/1/reset?stock=5"
QUEUE = "/api/v1/async/queue/status"
ORDERS = "/api/v1/customers/{}/orders"


@dataclass
class Set(Clock):
    """Stands still at the beginning of a rate limit window of one minute."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(second=0, microsecond=0))

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Set:
    return Set()


@pytest.fixture
async def strict(deps: Deps, clock: Set) -> AsyncIterator[Client]:
    opened = open_deps(replace(deps.settings, accept_unsigned_buyers=False, rate_limit=QUOTA), clock)
    yield Client(opened)
    await close_deps(opened)


@pytest.fixture
async def demo(deps: Deps, clock: Set) -> AsyncIterator[Client]:
    opened = open_deps(replace(deps.settings, accept_unsigned_buyers=True, rate_limit=QUOTA), clock)
    yield Client(opened)
    await close_deps(opened)


async def orders_of(shop: Client, user: str) -> Answered:
    return await shop.ask("GET", ORDERS.format(user), **shop.signed(user, "customer"))


async def test_a_caller_is_informed_what_is_left_and_then_when_to_come_again(strict: Client, clock: Set) -> None:
    clock.at += timedelta(seconds=20)
    reported = [await orders_of(strict, "7") for _ in range(QUOTA + 1)]
    assert [answer.status for answer in reported] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in reported] == [
        '"caller";r=2;t=40',
        '"caller";r=1;t=40',
        '"caller";r=0;t=40',
        '"caller";r=0;t=40',
    ]
    assert {answer.headers["ratelimit-policy"] for answer in reported} == {'"caller";q=3;w=60'}
    assert reported[-1].body["type"].endswith("/rate-limited")
    assert reported[-1].headers["retry-after"] == "40"
    assert "retry-after" not in reported[0].headers
    clock.at += timedelta(seconds=40)
    assert (await orders_of(strict, "7")).status == 200


async def test_each_caller_and_each_route_is_counted_alone(strict: Client) -> None:
    for _ in range(QUOTA):
        assert (await orders_of(strict, "7")).status == 200
    assert (await orders_of(strict, "7")).status == 429
    assert (await orders_of(strict, "8")).status == 200
    body = {"productId": 1, "userId": 7}
    bought = await strict.ask("POST", "/api/v1/sync/purchase", body, **strict.signed("7", "customer"))
    assert (bought.status, bought.headers["ratelimit"][:12]) == (200, '"caller";r=2')


async def test_two_paths_of_one_route_share_a_count(strict: Client) -> None:
    admin = strict.signed("1", "admin")
    reported = [(await strict.ask("PUT", f"/api/v1/sync/stock/{n}/reset?stock=5", **admin)).status for n in range(1, 5)]
    assert reported == [200, 200, 200, 429]


async def test_who_may_not_is_informed_and_not_counted(strict: Client) -> None:
    for _ in range(QUOTA + 1):
        refused = await strict.ask("PUT", STOCK, **strict.signed("7", "customer"))
        assert (refused.status, "ratelimit" in refused.headers) == (403, False)


async def test_a_refused_purchase_counts_and_takes_nothing(demo: Client) -> None:
    """In the demo, the buyer named in the body is the caller."""
    for n in range(QUOTA):
        assert (await demo.buy(user=7, product=2, key=f"k{n}")).status == 200
    assert (await demo.buy(user=7, product=2, key="one more")).status == 429
    assert (await demo.buy(user=8, product=2)).status == 200
    assert await demo.row("SELECT count(*) FROM orders") == (QUOTA + 1,)


async def test_sold_out_is_counted_too_though_it_is_answered_from_memory(demo: Client, clock: Set) -> None:
    await demo.restock(1, 0)
    reported = [await demo.buy(user=7) for _ in range(QUOTA + 1)]
    assert [answer.status for answer in reported] == [409, 409, 409, 429]
    assert all("ratelimit" in answer.headers for answer in reported)


async def test_what_everyone_may_ask_is_not_counted_and_no_limit_is_none(strict: Client, deps: Deps) -> None:
    reported = [await strict.ask("GET", "/api/v1/sync/stock/1") for _ in range(QUOTA + 1)]
    assert {(answer.status, "ratelimit" in answer.headers) for answer in reported} == {(200, False)}
    opened = open_deps(replace(deps.settings, rate_limit=0))
    unlimited = await Client(opened).buy()
    assert (unlimited.status, "ratelimit" in unlimited.headers) == (200, False)
    await close_deps(opened)


async def test_a_crowd_is_forgotten_before_it_fills_the_memory(demo: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "CALLERS_MAX", 2)
    await demo.restock(1, 0)
    for user in (1, 2, 3):
        assert (await demo.buy(user=user)).status == 409
    (counts,) = demo.deps.singleton(rate_limit.Limits)._counts.values()
    assert set(counts) == {"3"}


async def test_how_the_queue_stands_is_read_once_a_second_for_all_and_counted_by_address(
    strict: Client, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    async def counting(tx: Tx) -> Queue:
        nonlocal read
        read += 1
        return await queue(tx)

    monkeypatch.setattr("functions.orders.main.queue", counting)
    reported = await asyncio.gather(*(strict.ask("GET", QUEUE) for _ in range(QUOTA + 1)))
    assert sorted(answer.status for answer in reported) == [200, 200, 200, 429]
    assert all("ratelimit" in answer.headers for answer in reported)
    assert read == 1
    monkeypatch.setattr("functions.orders.main.QUEUE_FRESH_S", 0.0)
    opened = open_deps(replace(deps.settings, rate_limit=0))
    for _ in range(2):
        assert (await Client(opened).ask("GET", QUEUE)).status == 200
    assert read == 3
    await close_deps(opened)


async def test_a_reading_that_fails_is_not_kept_and_one_who_leaves_ends_no_one_else_s() -> None:
    may, read = asyncio.Event(), 0

    async def reading() -> int:
        nonlocal read
        read += 1
        await may.wait()
        if read == 1:
            raise ConnectionError
        return read

    fresh = Fresh(reading, keep_s=3600.0)
    waiting = [asyncio.create_task(fresh.get()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    may.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in outcomes] == [asyncio.CancelledError, ConnectionError, ConnectionError]
    assert [await fresh.get() for _ in range(3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("93.184.216.34", "8.8.8.8", "93.184.216.34"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("127.0.0.1", "1.1.1.1, 8.8.8.8, 10.0.0.4", "8.8.8.8"),
        ("10.0.0.4", "10.0.0.9, 127.0.0.1", "10.0.0.9"),
        ("10.0.0.4", "nonsense, ,", "10.0.0.4"),
        ("::ffff:8.8.8.8", None, "8.8.8.8"),
        ("2606:4700::1111", None, "2606:4700::"),
        ("::1", "2606:4700:0:0:dead::1", "2606:4700::"),
        ("", None, ""),
    ],
)
def test_a_client_cannot_choose_the_address_that_it_is_counted_by(
    peer: str, forwarded: str | None, counted: str
) -> None:
    headers = {"x-forwarded-for": forwarded} if forwarded is not None else {}
    assert Proxies("127.0.0.0/8,::1,10.0.0.0/8").counted(headers, peer) == counted
