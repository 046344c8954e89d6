"""webhook_deliver's manners: Retry-After, slower after 429, 502 and 504, no more after 410, never above the rate."""

from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, in_turn, receiving
from tests.turned_clock import START

__all__ = ["clock", "deps", "settings", "stage"]
DISABLED = "ecommerce.webhook.subscription.disabled.v1"


def began(attempts: list[tuple[object, ...]]) -> list[float]:
    return [(attempt[0] - START).total_seconds() for attempt in attempts]  # type: ignore[operator]  # a row


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_postpones_every_message_of_the_endpoint(stage: Stage, status: int) -> None:
    async with receiving(in_turn(answers(status, [("Retry-After", "100")]), answers())) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[1])
        await stage.happens(event("o-1"))
        await stage.work_once()
        stage.clock.turn(10)
        await stage.happens(event("o-2"))
        await stage.work()
    assert began(await stage.attempts()) == [0, 100, 100]
    assert await stage.messages() == ["DELIVERED"] * 2


async def test_retry_after_may_be_a_date_and_is_obeyed_for_an_hour_at_most(stage: Stage) -> None:
    at = format_datetime(START + timedelta(seconds=75), usegmt=True)
    async with (
        receiving(in_turn(answers(503, [("retry-after", at)]), answers())) as dated,
        receiving(in_turn(answers(429, [("retry-after", "999999")]), answers())) as greedy,
        receiving(in_turn(answers(503, [("retry-after", "soon")]), answers())) as odd,
    ):
        ids = [await stage.subscribe(one.url(), schedule_s=[1]) for one in (dated, greedy, odd)]
        await stage.happens(event())
        await stage.sweeps(2 * 3600)
    seconds = {
        id: began(
            await stage.client.rows(
                "SELECT began_at FROM webhook_delivery_attempts WHERE subscription_id = %s ORDER BY number", id
            )
        )
        for id in ids
    }
    assert seconds[ids[0]] == [0, 75]
    assert seconds[ids[1]] == [0, 3600]
    assert seconds[ids[2]][1] <= 1.1


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_an_overloaded_endpoint_gets_one_attempt_at_a_time_at_growing_distances(
    stage: Stage, status: int
) -> None:
    async with receiving(answers(status)) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[1] * 3)
        await stage.happens(event())
        await stage.work()
    waits = [after - before for before, after in pairwise(began(await stage.attempts()))]
    assert waits == [5, 10, 20]


async def test_answers_of_one_moment_slow_an_endpoint_down_once_and_a_success_ends_it(stage: Stage) -> None:
    async with receiving(in_turn(*[answers(502)] * 10, answers())) as receiver:
        id = await stage.subscribe(receiver.url())
        await stage.happens(*(event(f"o-{n}") for n in range(10)))
        await stage.work_once()
        assert await stage.queue(id, "slowed, not_before - %s = '5 s'", START) == (1, True)
        await stage.work()
        assert await stage.queue(id, "slowed, failures") == (0, 0)
    assert await stage.messages() == ["DELIVERED"] * 10


async def test_410_ends_the_subscription_and_keeps_its_messages(stage: Stage) -> None:
    async with receiving(in_turn(answers(410), answers())) as receiver:
        id = await stage.subscribe(receiver.url(), concurrency=1)
        await stage.happens(event("o-1"), event("o-2"))
        await stage.sweeps(3600)
        await stage.happens(event("o-3"))
        await stage.sweeps(600)
    assert len(receiver.got) == 1
    assert await stage.messages() == ["PENDING"] * 2, "and it gets no new ones"
    assert await stage.queue(id, "status, held, version") == ("DISABLED", True, 2)
    (emitted,) = await stage.client.log(DISABLED)
    assert (emitted.subject, emitted.sequence) == (id, 2)


async def test_a_paused_subscription_collects_messages_and_sends_none(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url(), status="PAUSED")
        await stage.change("UPDATE webhook_queues SET held = true")
        await stage.happens(event("o-1"), event("o-2"))
        await stage.sweeps(900)
        assert receiver.got == []
        await stage.change("UPDATE webhook_subscriptions SET status = 'ACTIVE'")
        await stage.change("UPDATE webhook_queues SET held = false")
        await stage.work()
        assert [one["orderId"] for one in posts(receiver)] == ["o-1", "o-2"]
    assert id


async def test_the_rate_bounds_every_second_and_is_used(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url(), rate_per_s=20, concurrency=100)
        await stage.happens(*(event(f"o-{n}") for n in range(100)))
        await stage.work()
    seconds = began(await stage.attempts())
    for first in seconds:
        assert sum(first <= one < first + 1 for one in seconds) <= 20 + 3, "a second's rate and what 100 ms allow"
    assert max(seconds) <= 100 / 20
