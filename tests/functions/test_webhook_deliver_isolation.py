"""webhook_deliver's isolation: partners share a process fairly, and one that hangs or trickles delays no other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from functions.webhook_deliver import sender as sender_module
from functions.webhook_deliver.slots import Slots
from pulsecart.runtime.settings import Settings
from tests.client import until
from tests.functions.webhook_stage import Stage, clock, deps, event, posts, running_stage, settings, stage
from tests.receivers import Behaviour, Got, answers, hangs, in_turn, receiving, trickles_body

__all__ = ["clock", "deps", "settings", "stage"]


@dataclass
class Doors:
    """Receivers that answer only when they are let: ``open`` are the requests that wait."""

    waiting: list[asyncio.Event] = field(default_factory=list)
    most: int = 0

    async def behave(self, got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = asyncio.Event()
        self.waiting.append(answer)
        self.most = max(self.most, len(self.waiting))
        await answer.wait()
        self.waiting.remove(answer)
        await answers()(got, reader, writer)

    def let(self) -> None:
        for one in self.waiting:
            one.set()

    async def let_until(self, holds: Callable[[], Awaitable[object]]) -> None:
        """Let every request in, until the condition holds."""

        async def looked() -> object:
            self.let()
            return await holds()

        await until(looked)


@asynccontextmanager
async def working(*stages: Stage) -> AsyncIterator[None]:
    """The operation runs in each stage's process until the block ends."""
    tasks = [asyncio.create_task(one.work()) for one in stages]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def delivered(stage: Stage, count: int) -> Callable[[], Awaitable[object]]:
    return lambda: stage.client.row(
        "SELECT 1 FROM webhook_messages WHERE status = 'DELIVERED' HAVING count(*) >= %s", count
    )


@pytest.mark.parametrize("bad", [hangs(), trickles_body()], ids=["hangs", "trickles"])
async def test_an_endpoint_that_hangs_or_trickles_delays_no_other(stage: Stage, bad: Behaviour) -> None:
    async with receiving(bad) as slow, receiving(answers()) as first, receiving(answers()) as second:
        for one in (slow, first, second):
            await stage.subscribe(one.url())
        await stage.happens(*(event(f"o-{n}") for n in range(100)))
        async with working(stage):
            await until(delivered(stage, 200))
            assert (len(posts(first)), len(posts(second))) == (100, 100)
            assert len(slow.got) == 10, "its own concurrency, while all others were served"
            row = "SELECT count(*) FROM webhook_delivery_attempts WHERE result IS NULL"
            assert await stage.client.row(row) == (10,), "none of its attempts has ended"


async def test_no_endpoint_gets_more_at_once_than_its_concurrency(stage: Stage) -> None:
    doors = Doors()
    async with receiving(doors.behave) as receiver:
        await stage.subscribe(receiver.url(), concurrency=3)
        await stage.happens(*(event(f"o-{n}") for n in range(12)))
        async with working(stage):
            for count in (3, 6, 9, 12):
                await until(lambda: _true(len(doors.waiting) == 3))
                doors.let()
                await until(delivered(stage, count))
    assert doors.most == 3


async def test_two_processes_together_keep_the_concurrency_and_send_everything_once(settings: Settings) -> None:
    doors = Doors()
    async with running_stage(settings) as one, running_stage(settings) as other, receiving(doors.behave) as receiver:
        await one.subscribe(receiver.url(), concurrency=4)
        await one.happens(*(event(f"o-{n}") for n in range(40)))
        async with working(one, other):
            await doors.let_until(delivered(one, 40))
    assert doors.most <= 4
    assert len(receiver.got) == 40


async def test_two_processes_together_keep_the_rate(settings: Settings) -> None:
    async with running_stage(settings) as one, running_stage(settings) as other, receiving(answers()) as receiver:
        await one.subscribe(receiver.url(), rate_per_s=8, concurrency=100)
        await one.happens(*(event(f"o-{n}") for n in range(20)))
        async with working(one, other):
            await until(delivered(one, 20))
        began = sorted(row[0] for row in await one.attempts())
    for first in began:
        assert sum(0 <= (at - first).total_seconds() < 1 for at in began) <= 8 + 1
    assert len(receiver.got) == 20


async def test_a_partner_with_a_long_backlog_leaves_room_for_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "Slots", lambda: Slots(8, 4))
    order: list[str] = []

    def noting(name: str) -> Behaviour:
        async def behave(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            order.append(name)
            await answers()(got, reader, writer)

        return behave

    async with receiving(noting("long")) as long, receiving(noting("short")) as short:
        await stage.subscribe(long.url(), event_types=["ecommerce.order.order.paid.v1"], concurrency=8)
        await stage.subscribe(short.url(), event_types=["ecommerce.order.order.created.v1"], concurrency=8)
        await stage.happens(*(event(f"o-{n}") for n in range(200)))
        stage.clock.turn(1)
        await stage.happens(*(event(f"o-{n}", type="ecommerce.order.order.created.v1") for n in range(8)))
        await stage.work()
    assert len(order) == 208
    assert order.index("short") <= 16, "it is served at the second turn, not after the backlog"


async def test_failing_endpoints_take_half_of_a_process_at_most(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "Slots", lambda: Slots(unwell=4))
    doors = Doors()
    async with receiving(doors.behave) as bad, receiving(answers()) as good:
        for _ in range(10):
            await stage.subscribe(bad.url(), concurrency=2, event_types=["ecommerce.order.order.paid.v1"])
        await stage.change("UPDATE webhook_queues SET failures = 3, first_failed_at = %s", stage.clock.now())
        await stage.subscribe(good.url(), event_types=["ecommerce.order.order.created.v1"])
        await stage.happens(event("o-1"), event("o-2"))
        async with working(stage):
            await until(lambda: _true(len(doors.waiting) == 4))
            await stage.happens(event("o-3", type="ecommerce.order.order.created.v1"))
            stage.client.deps.wake_ups.wake("webhook_deliver")
            await until(lambda: _true(len(posts(good)) == 1))
            assert len(doors.waiting) == 4
            await doors.let_until(delivered(stage, 21))
    assert doors.most == 4


async def test_one_attempt_that_cannot_be_recorded_stops_no_other(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(*(event(f"o-{n}") for n in range(5)))
        odd = (await stage.client.row("SELECT message_id::text FROM webhook_messages ORDER BY position LIMIT 1"))[0]
        await stage.owner(
            f"ALTER TABLE webhook_messages ADD CONSTRAINT odd CHECK (message_id <> '{odd}' OR status <> 'DELIVERED')"
        )
        async with working(stage):
            await until(delivered(stage, 4))


async def test_a_stopped_process_gives_its_messages_back_at_once(stage: Stage) -> None:
    async with receiving(in_turn(hangs(), answers())) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        async with working(stage):
            await until(lambda: _true(len(receiver.got) == 1))
        row = "SELECT claimed_until, due_at, retries FROM webhook_messages"
        assert await stage.client.row(row) == (None, stage.clock.now(), 0)
        await stage.work()
    assert [attempt[1] for attempt in await stage.attempts()] == ["canceled", "delivered"]
    assert receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]


async def _true(holds: bool) -> bool:
    return holds
