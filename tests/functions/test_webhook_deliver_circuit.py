"""webhook_deliver's circuit: an endpoint that keeps failing gets one probe at a time, and no message is lost."""

from itertools import pairwise

from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, in_turn, receiving

__all__ = ["clock", "deps", "settings", "stage"]
PAUSED, RESUMED = (f"ecommerce.webhook.subscription.{what}.v1" for what in ("paused", "resumed"))


async def test_an_endpoint_that_keeps_failing_is_paused_probed_and_resumed_and_nothing_is_lost(stage: Stage) -> None:
    fails = [answers(500)] * 18  # both orders at 0, 30, 150, 450 and 1,350 s, and then one probe at a time
    async with receiving(in_turn(*fails, answers())) as receiver:
        id = await stage.subscribe(receiver.url())
        await stage.happens(event("o-1"), event("o-2"))
        await stage.sweeps(1500)
        assert await stage.queue(id, "status, failures >= 10") == ("FAILING", True)
        await stage.happens(*(event(f"o-{n}") for n in range(3, 50)))
        before = len(receiver.got)
        await stage.sweeps(4 * 3600)
    probes = await stage.client.rows(
        "SELECT extract(epoch FROM began_at)::float, result FROM webhook_delivery_attempts WHERE probe"
        " ORDER BY began_at"
    )
    waits = [round(after[0] - before[0]) for before, after in pairwise(probes)]
    assert [result for _, result in probes] == ["http"] * (len(probes) - 1) + ["delivered"]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600][: len(waits)]
    assert before >= 10
    assert await stage.messages() == ["DELIVERED"] * 49
    assert {post["orderId"] for post in posts(receiver)} == {f"o-{n}" for n in range(1, 50)}
    assert await stage.queue(id, "status, version, failures") == ("ACTIVE", 3, 0)
    emitted = [(one.type, one.sequence, one.subject) for one in await stage.client.log(PAUSED, RESUMED)]
    assert emitted == [(PAUSED, 2, id), (RESUMED, 3, id)]


async def test_probes_use_up_no_retries(stage: Stage) -> None:
    async with receiving(answers(500)) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[30] * 10)
        await stage.happens(event())
        await stage.sweeps(24 * 3600)
    assert await stage.messages() == ["PENDING"]
    assert await stage.client.row("SELECT retries, attempts > 30 FROM webhook_messages") == (10, True)
    assert len(receiver.got) > 30


async def test_many_failures_of_one_moment_do_not_pause(stage: Stage) -> None:
    async with receiving(in_turn(*[answers(500)] * 20, answers())) as receiver:
        id = await stage.subscribe(receiver.url(), concurrency=20)
        await stage.happens(*(event(f"o-{n}") for n in range(20)))
        await stage.work()
        assert await stage.queue(id, "status") == ("ACTIVE",)
    assert await stage.messages() == ["DELIVERED"] * 20


async def test_a_probe_may_be_any_message_and_waits_for_no_retry(stage: Stage) -> None:
    async with receiving(in_turn(*[answers(500)] * 10, answers())) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[10] * 9 + [7200])
        await stage.happens(event())
        await stage.work()
        began = stage.clock.now()
        await stage.sweeps(600)
    assert await stage.messages() == ["DELIVERED"]
    assert len(receiver.got) == 11
    assert began
