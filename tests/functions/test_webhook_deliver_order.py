"""webhook_deliver's lanes: an ordered subscription gets the next event of an order after the one before succeeded."""

from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, in_turn, receiving

__all__ = ["clock", "deps", "settings", "stage"]


def orders(got: list[dict[str, object]]) -> list[str]:
    return [f"{one['orderId']}/{one['sequence']}" for one in got]


async def test_the_second_event_of_an_order_waits_for_the_first_and_other_orders_go_on(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url(), ordered=True)
        await stage.happens(event("o-1", 1))
        await stage.work_once()
        await stage.happens(event("o-1", 2), event("o-2", 1))
        await stage.happens(event("o-1", 3))
        await stage.work()
    assert orders(posts(receiver)) == ["o-1/1", "o-2/1", "o-1/1", "o-1/2", "o-1/3"]
    assert await stage.messages() == ["DELIVERED"] * 4


async def test_events_of_one_batch_keep_their_order_too(stage: Stage) -> None:
    from asyncio import gather

    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url(), ordered=True)
        await gather(*(stage.happens(event(f"o-{order}", step)) for step in range(1, 4) for order in range(5)))
        await stage.work()
    for order in range(5):
        assert [one for one in orders(posts(receiver)) if one.startswith(f"o-{order}/")] == [
            f"o-{order}/{step}" for step in range(1, 4)
        ]


async def test_without_order_nothing_waits(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event("o-1", 1))
        await stage.work_once()
        await stage.happens(event("o-1", 2))
        await stage.work()
    assert orders(posts(receiver)) == ["o-1/1", "o-1/2", "o-1/1"]


async def test_a_failed_message_blocks_its_lane_until_it_is_skipped_or_sent_again(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url(), ordered=True, schedule_s=[])
        await stage.happens(event("o-1", 1), event("o-2", 1))
        await stage.work()
        await stage.happens(event("o-1", 2), event("o-2", 2))
        await stage.work()
        assert await stage.messages() == ["FAILED", "FAILED", "PENDING", "PENDING"]
        ids = [
            row[0] for row in await stage.client.rows("SELECT message_id::text FROM webhook_messages ORDER BY position")
        ]
        for id, act in zip(ids, ("resend", "skip"), strict=False):
            assert (await stage.client.ask("POST", f"/api/v1/webhook-messages/{id}/{act}")).status < 300
        await stage.work()
    assert await stage.messages() == ["DELIVERED", "SKIPPED", "DELIVERED", "DELIVERED"]
    assert orders(posts(receiver))[2:] == ["o-1/1", "o-2/2", "o-1/2"]


async def test_a_lane_goes_on_with_an_event_that_comes_after_all_are_delivered(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url(), ordered=True)
        for step in (1, 2):
            await stage.happens(event("o-1", step))
            await stage.work()
        first = event("o-3", 1)
        await stage.happens(first)
        await stage.work()
        await stage.happens(first, event("o-3", 2))
        await stage.work()
    assert orders(posts(receiver)) == ["o-1/1", "o-1/2", "o-3/1", "o-3/2"]
