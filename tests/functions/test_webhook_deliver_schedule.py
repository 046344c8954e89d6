"""webhook_deliver's retries: each at its second, after 30 s, 2 m, 5 m, 15 m and 30 m; then the message has failed."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, closes, in_turn, raw, receiving, redirects, resets
from tests.turned_clock import START

__all__ = ["clock", "deps", "settings", "stage"]
FAILED = "ecommerce.webhook.delivery.failed.v1"


async def test_retries_come_at_their_seconds_with_a_process_only_around_them(stage: Stage) -> None:
    async with receiving(answers(500)) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        await stage.sweeps(2 * 3600)
    attempts = await stage.attempts()
    assert attempts[0][0] == START
    for (before, after), delay_s in zip(pairwise(attempts), (30, 120, 300, 900, 1800), strict=True):
        waited = after[0] - before[0]
        assert timedelta(seconds=delay_s) <= waited <= timedelta(seconds=delay_s * 1.1)
        assert after[0] == before[3], "exactly when it was planned"
    assert attempts[-1][3] is None
    assert await stage.messages() == ["FAILED"]


async def test_nothing_runs_while_the_next_retry_is_further_away_than_the_next_sweep(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[1800])
        await stage.happens(event())
        await stage.work()
        assert stage.clock.now() == START, "it went to sleep at once"
        await stage.sweeps(2400)
        assert len(receiver.got) == 2
    began = [attempt[0] for attempt in await stage.attempts()]
    assert timedelta(seconds=1800) <= began[1] - began[0] <= timedelta(seconds=1980)


async def test_after_the_last_retry_the_subscription_hears_that_the_delivery_failed(stage: Stage) -> None:
    async with receiving(answers(500, body=b"secret answer")) as receiver:
        id = await stage.subscribe(receiver.url(path="/hook?token=secret"), schedule_s=[1, 2])
        await stage.happens(event(), event("o-2"))
        await stage.work()
        await stage.work()
    emitted = await stage.client.log(FAILED)
    assert [(one.subject, one.sequence) for one in emitted] == [(id, 2), (id, 3)]
    assert emitted[0].extensions["partitionkey"] == id
    for one in emitted:
        assert b'"attempts":3' in (one.data or b"")
        assert b"secret" not in (one.data or b"")
    assert len(receiver.got) == 6, "and what has failed is not sent again"
    assert await stage.queue(id, "version, due_at") == (3, None)


async def test_without_a_schedule_one_attempt_is_all(stage: Stage) -> None:
    async with receiving(answers(400)) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[])
        await stage.happens(event())
        await stage.work()
    assert len(receiver.got) == 1
    assert await stage.messages() == ["FAILED"]


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        (answers(500), ("http", 500)),
        (answers(404), ("http", 404)),
        (answers(301, [("location", "http://127.0.0.1:1/")]), ("http", 301)),
        (answers(304), ("http", 304)),
        (resets(), ("reset", None)),
        (closes(), ("reset", None)),
        (raw(b"SMTP ready\r\n", then_close=True), ("protocol", None)),
    ],
)
async def test_only_2xx_is_a_delivery(stage: Stage, behaviour: Any, result: tuple[str, int | None]) -> None:
    async with receiving(behaviour) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[])
        await stage.happens(event())
        await stage.work()
    assert [attempt[1:3] for attempt in await stage.attempts()] == [result]
    assert await stage.messages() == ["FAILED"]


async def test_a_redirect_is_not_followed(stage: Stage) -> None:
    async with receiving(answers()) as target, receiving(redirects(target.url())) as receiver:
        await stage.subscribe(receiver.url(), schedule_s=[])
        await stage.happens(event())
        await stage.work()
    assert (len(receiver.got), len(target.got)) == (1, 0)


async def test_an_endpoint_that_nobody_serves_or_that_is_private_fails_with_the_reason(stage: Stage) -> None:
    await stage.subscribe("http://127.0.0.1:1/", schedule_s=[])
    await stage.subscribe("https://10.0.0.1/", schedule_s=[])
    await stage.happens(event())
    await stage.work()
    assert sorted(attempt[1] for attempt in await stage.attempts()) == ["connect", "not-allowed"]


async def test_the_first_attempt_does_not_wait_for_the_retries_of_others(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event("o-1"))
        await stage.work()
        await stage.happens(event("o-2"))
        await stage.work()
    assert [post["orderId"] for post in posts(receiver)] == ["o-1", "o-1", "o-2"]
