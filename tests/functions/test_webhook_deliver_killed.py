"""webhook_deliver loses no message and no attempt, whenever its process is killed, and repeats with the same id."""

import asyncio
import signal
from collections import Counter
from datetime import timedelta

import pytest

from pulsecart.runtime.settings import Settings
from tests.functions import webhook_process
from tests.functions.webhook_process import forks
from tests.functions.webhook_stage import RunningClock, Stage, clock, deps, event, running_stage, settings, stage
from tests.receivers import answers, receiving

__all__ = ["clock", "deps", "settings", "stage"]
STEPS_MAX = 60
AFTER_THE_CLAIM = 10


async def killed_at(stage: Stage, step: int) -> bool:
    """Runs a process up to a step; False if it ended before."""
    process = forks().Process(target=webhook_process.work, args=(stage.client.deps.settings, ahead(stage), step))
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


@pytest.mark.timeout(300)  # some forty processes
async def test_a_process_killed_at_any_step_loses_nothing_and_repeats_at_most_once(settings: Settings) -> None:
    async with running_stage(settings) as one, receiving(answers()) as receiver:
        id = await one.subscribe(receiver.url(), ordered=True)
        for step in range(1, STEPS_MAX):
            await one.happens(event("o-1", 2 * step), event("o-1", 2 * step + 1))
            killed = await killed_at(one, step)
            later(one)
            await one.work()
            assert await one.client.row("SELECT count(*) FROM webhook_messages WHERE status <> 'DELIVERED'") == (0,)
            assert await one.queue(id, "due_at, failures") == (None, 0)
            if not killed:
                break
        else:
            raise AssertionError(f"it has more than {STEPS_MAX} steps")
        sent = Counter(got.headers["webhook-id"] for got in receiver.got)
        attempts = dict(
            await one.client.rows("SELECT message_id::text, count(*) FROM webhook_delivery_attempts GROUP BY 1")
        )
    assert step > 20, "the steps were counted"
    assert max(sent.values()) == 2, "some kills come between the request and its record"
    assert all(attempts[id] >= count for id, count in sent.items()), "no request without its attempt"
    assert sent.keys() == attempts.keys()


def later(stage: Stage) -> None:
    """The claims of the process before have ended."""
    assert isinstance(stage.clock, RunningClock)
    stage.clock.ahead += timedelta(seconds=61)


def ahead(stage: Stage) -> timedelta:
    assert isinstance(stage.clock, RunningClock)
    return stage.clock.ahead


async def test_a_message_in_flight_is_not_claimed_again_before_its_claim_ends(settings: Settings) -> None:
    async with running_stage(settings) as one, receiving(answers()) as receiver:
        await one.subscribe(receiver.url())
        await one.happens(event())
        assert await killed_at(one, AFTER_THE_CLAIM)
        assert await one.client.row("SELECT attempts, claimed_until IS NULL FROM webhook_messages") == (1, False)
        later(one)
        await one.work()
        rows = await one.client.rows("SELECT began_at, result FROM webhook_delivery_attempts ORDER BY number")
    assert [result for _, result in rows] == [None, "delivered"]
    assert rows[1][0] - rows[0][0] >= timedelta(seconds=60)
    assert len(receiver.got) == 1
