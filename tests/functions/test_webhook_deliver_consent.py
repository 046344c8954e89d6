"""webhook_deliver asks each endpoint for its consent, by OPTIONS, before the first message and once a day."""

import asyncio

import pytest

from tests.client import until
from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import Behaviour, Got, answers, hangs, in_turn, receiving, resets

__all__ = ["clock", "deps", "settings", "stage"]
Allowed = list[tuple[str, str]]
GIVEN: Allowed = [("WebHook-Allowed-Origin", "shop.example"), ("WebHook-Allowed-Rate", "120")]


def asked(options: Behaviour, post: Behaviour | None = None) -> Behaviour:
    """Answers OPTIONS in one way and POST in another."""

    async def behave(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (options if got.method == "OPTIONS" else post or answers())(got, reader, writer)

    return behave


async def test_the_endpoint_is_asked_first_and_once(stage: Stage) -> None:
    async with receiving(asked(answers(200, GIVEN))) as receiver:
        id = await stage.subscribe(receiver.url(), consented=False)
        await stage.happens(event("o-1"), event("o-2"))
        await stage.work()
    assert [got.method for got in receiver.got] == ["OPTIONS", "POST", "POST"]
    assert receiver.got[0].headers["webhook-request-origin"] == "shop.example"
    assert await stage.queue(id, "consented, allowed_per_min") == (True, 120)


@pytest.mark.parametrize(
    ("status", "headers"), [(404, []), (405, [("allow", "POST")]), (200, []), (500, []), (200, [("allow", "OPTIONS")])]
)
async def test_an_endpoint_that_does_not_know_the_handshake_gets_messages_unless_consent_is_required(
    stage: Stage, status: int, headers: Allowed
) -> None:
    async with (
        receiving(asked(answers(status, headers))) as optional,
        receiving(asked(answers(status, headers))) as required,
    ):
        await stage.subscribe(optional.url(), consented=False)
        await stage.subscribe(required.url(), consented=False, consent="required")
        await stage.happens(event())
        await stage.sweeps(1200)
    assert len(posts(optional)) == 1
    assert {got.method for got in required.got} == {"OPTIONS"}
    assert 2 <= len(required.got) <= 4, "asked again, but not often"
    assert sorted(await stage.messages()) == ["DELIVERED", "PENDING"]


async def test_required_consent_may_come_later_and_nothing_is_lost(stage: Stage) -> None:
    options = in_turn(resets(), answers(200), answers(200, GIVEN))
    async with receiving(asked(options)) as receiver:
        await stage.subscribe(receiver.url(), consented=False, consent="required")
        await stage.happens(event("o-1"), event("o-2"))
        await stage.sweeps(3600)
    assert [got.method for got in receiver.got] == ["OPTIONS"] * 3 + ["POST"] * 2


async def test_the_status_of_the_answer_means_nothing_and_any_origin_is_consent(stage: Stage) -> None:
    async with receiving(
        asked(answers(405, [("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "*")]))
    ) as receiver:
        id = await stage.subscribe(receiver.url(), consented=False, consent="required")
        await stage.happens(event())
        await stage.work()
    assert len(posts(receiver)) == 1
    assert await stage.queue(id, "consented, allowed_per_min") == (True, None)


async def test_consent_to_another_origin_is_a_refusal_even_where_it_is_not_required(stage: Stage) -> None:
    async with receiving(asked(answers(200, [("webhook-allowed-origin", "other.example")]))) as receiver:
        id = await stage.subscribe(receiver.url(), consented=False)
        await stage.happens(event())
        await stage.sweeps(1200)
    assert posts(receiver) == []
    assert await stage.queue(id, "consented, status") == (False, "ACTIVE")
    assert await stage.messages() == ["PENDING"]


async def test_the_rate_of_the_consent_is_obeyed(stage: Stage) -> None:
    async with receiving(asked(answers(200, GIVEN))) as receiver:
        await stage.subscribe(receiver.url(), consented=False, rate_per_s=1000)
        await stage.happens(*(event(f"o-{n}") for n in range(10)))
        began = stage.clock.now()
        await stage.work()
    rows = await stage.attempts()
    assert [(row[0] - began).total_seconds() for row in rows] == [n / 2 for n in range(10)], "two a second"
    assert len(posts(receiver)) == 10


async def test_the_endpoint_is_asked_again_after_a_day_and_after_another_url(stage: Stage) -> None:
    async with receiving(asked(answers(200, GIVEN))) as receiver, receiving(asked(answers(200, GIVEN))) as other:
        id = await stage.subscribe(receiver.url(), consented=False)
        for _ in range(2):
            await stage.happens(event())
            await stage.work()
        stage.clock.turn(24 * 3600)
        await stage.happens(event())
        await stage.work()
        assert [got.method for got in receiver.got] == ["OPTIONS", "POST", "POST", "OPTIONS", "POST"]
        body = {"partnerId": "p-1", "url": other.url(), "eventTypes": ["ecommerce.order.*"]}
        path = f"/api/v1/webhook-subscriptions/{id}"
        assert (await stage.client.ask("PUT", path, body, if_match="*")).status == 200
        await stage.happens(event())
        await stage.work()
    assert [got.method for got in other.got] == ["OPTIONS", "POST"]


async def test_an_earlier_consent_stays_while_the_endpoint_cannot_be_asked(stage: Stage) -> None:
    async with receiving(asked(in_turn(answers(200, GIVEN), resets(), answers(200, GIVEN)))) as receiver:
        id = await stage.subscribe(receiver.url(), consented=False, consent="required")
        for _ in range(2):
            await stage.happens(event())
            await stage.work()
            stage.clock.turn(24 * 3600)
    assert len(posts(receiver)) == 2
    assert await stage.queue(id, "consented") == (True,)


async def test_a_handshake_that_hangs_delays_no_other_endpoint(stage: Stage) -> None:
    async with receiving(asked(hangs())) as hanging, receiving(answers()) as receiver:
        id = await stage.subscribe(hanging.url(), consented=False)
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        work = asyncio.create_task(stage.work())
        await until(lambda: stage.client.row("SELECT 1 FROM webhook_messages WHERE status = 'DELIVERED'"))
        assert len(hanging.got) == 1
        assert await stage.queue(id, "consent_at") == (None,), "it is still being asked"
        work.cancel()
        await asyncio.wait([work])
