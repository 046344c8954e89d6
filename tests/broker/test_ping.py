"""A PingSource fires on time by an injected clock, once across workers, retries, and skips missed ticks."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pulsecart.broker.delivery import DONE, Destination, Outcome
from pulsecart.broker.manifests.eventing import PingSource
from pulsecart.broker.ping import Pings
from pulsecart.broker.schedule import Schedule
from pulsecart.broker.store import session
from pulsecart.runtime.event import CloudEvent

NOON = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
SOURCE = PingSource(
    name="sweep",
    namespace="default",
    schedule=Schedule("*/5 * * * *"),
    sink=Destination("expire", "http://expire/sweep"),
    content_type="application/json",
    data=b"{}",
    where="eventing/expire.yaml:1",
)
AGAIN = Outcome("again", code=503)


class Clock:
    """Advances only during a sleep, and no further than ``until``."""

    def __init__(self, until: datetime) -> None:
        self.time = NOON
        self.until = until
        self.over = asyncio.Event()

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        for _ in range(10):  # tasks that are ready now run first
            await asyncio.sleep(0)
        if self.time + timedelta(seconds=seconds) > self.until:
            self.over.set()
            await asyncio.Event().wait()
        self.time += timedelta(seconds=seconds)


async def run(pings: Pings, clock: Clock) -> None:
    running = asyncio.create_task(pings.run())
    await clock.over.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def yes(name: str, tick: datetime) -> bool:
    return True


async def test_it_ticks_at_each_time_of_its_schedule() -> None:
    sent: list[tuple[datetime, CloudEvent]] = []
    clock = Clock(NOON + timedelta(minutes=16))

    async def send(source: PingSource, event: CloudEvent) -> Outcome:
        sent.append((clock.now(), event))
        return DONE

    await run(Pings([SOURCE], send=send, claim=yes, clock=clock, sleep=clock.sleep), clock)
    assert [(at.minute, at.second) for at, _ in sent] == [(5, 0), (10, 0), (15, 0)]
    first = sent[0][1]
    assert (first.type, first.source, first.data) == ("dev.knative.sources.ping", SOURCE.source, b"{}")
    assert len({event.id for _, event in sent}) == 3


async def test_a_tick_that_is_not_answered_well_is_tried_five_times_more() -> None:
    tries: list[str] = []
    clock = Clock(NOON + timedelta(minutes=9))

    async def send(source: PingSource, event: CloudEvent) -> Outcome:
        tries.append(event.id)
        return AGAIN

    await run(Pings([SOURCE], send=send, claim=yes, clock=clock, sleep=clock.sleep), clock)
    assert len(tries) == 6
    assert len(set(tries)) == 1


async def test_a_tick_of_another_worker_or_of_no_one_knows_who_is_skipped() -> None:
    sent: list[int] = []
    clock = Clock(NOON + timedelta(minutes=16))

    async def claim(name: str, tick: datetime) -> bool:
        if tick.minute == 5:
            raise ConnectionError("no database")
        return tick.minute == 15

    async def send(source: PingSource, event: CloudEvent) -> Outcome:
        sent.append(clock.now().minute)
        return DONE

    await run(Pings([SOURCE], send=send, claim=claim, clock=clock, sleep=clock.sleep), clock)
    assert sent == [15]


@pytest.mark.parametrize("workers", [1, 5])
async def test_each_tick_is_claimed_by_one_worker_and_no_older_one_after_it(database_url: str, workers: int) -> None:
    async def claim(tick: datetime) -> bool:
        async with session(database_url) as store:
            return await store.claim_tick("default/sweep", tick)

    for minute in (5, 10):
        claims = await asyncio.gather(*[claim(NOON + timedelta(minutes=minute)) for _ in range(workers)])
        assert sum(claims) == 1
    assert not await claim(NOON + timedelta(minutes=5))
