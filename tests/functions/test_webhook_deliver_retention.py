"""webhook_deliver deletes messages, attempts and events WEBHOOK_KEEP_DAYS after the end, and nothing that waits."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pulsecart.runtime.db.database import Busy, as_json
from pulsecart.runtime.deps import close_deps
from pulsecart.runtime.settings import MissingSetting, Settings, read
from pulsecart.runtime.telemetry import metrics
from pulsecart.shop.webhooks.db import by_hand, events, history, retention, subscriptions
from tests.client import Client, connect
from tests.functions.webhook_rows import attempt, message, states
from tests.functions.webhook_stage import Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, in_turn, receiving
from tests.turned_clock import TurnedClock, turned_deps

__all__ = ["clock", "deps", "settings", "stage"]
KEPT = timedelta(days=30)
TABLES = ("webhook_messages", "webhook_delivery_attempts", "webhook_events", "webhook_subscriptions")
NOWHERE = "http://127.0.0.1:1/"
NEEDED = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "redis://nowhere"}


async def counts(stage: Stage) -> list[int]:
    """The rows of messages, attempts, events and subscriptions."""
    return [(await stage.client.row(f"SELECT count(*) FROM {table}"))[0] for table in TABLES]


async def end_old(stage: Stage) -> int:
    return await retention.end_old(stage.client.deps.db, KEPT)


async def held(stage: Stage, **given: Any) -> str:
    """A subscription to which nothing is sent."""
    id = await stage.subscribe(NOWHERE, status="PAUSED", **given)
    await stage.change("UPDATE webhook_queues SET held = true WHERE subscription_id = %s", id)
    return id


async def delete(stage: Stage, id: str) -> None:
    async with stage.client.deps.db.transaction() as tx:
        await subscriptions.delete(tx, await subscriptions.require(tx, id, lock=True))


async def test_what_was_delivered_failed_or_skipped_is_deleted_after_30_days_with_attempts_and_event(
    stage: Stage,
) -> None:
    async with receiving(in_turn(answers(), answers(500))) as receiver:
        id = await stage.subscribe(receiver.url(), schedule_s=[])
        await stage.happens(event("o-1"))
        await stage.work()
        await stage.happens(event("o-2"))
        await stage.work()
    await message(stage.client, id, "SKIPPED")
    assert await stage.messages() == ["DELIVERED", "FAILED", "SKIPPED"]
    stage.clock.turn(KEPT.total_seconds() - 120)
    await stage.work()
    assert await counts(stage) == [3, 2, 3, 1]
    stage.clock.turn(120)
    await stage.work()
    assert await counts(stage) == [0, 0, 0, 1]


async def test_a_message_that_waits_stays_however_old_it_is(stage: Stage) -> None:
    await held(stage)
    await held(stage, ordered=True)
    await stage.happens(event("o-1", 1), event("o-1", 2))
    stage.clock.turn(10 * KEPT.total_seconds())
    await stage.work()
    assert await counts(stage) == [4, 0, 2, 2]


async def test_an_event_stays_while_one_of_its_messages_does(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        await held(stage)
        await stage.happens(event())
        await stage.work()
    stage.clock.turn(KEPT.total_seconds())
    await stage.work()
    assert (await stage.messages(), await counts(stage)) == (["PENDING"], [1, 0, 1, 2])


async def test_a_failed_message_is_never_deleted_from_its_lane_which_waits_until_it_is_skipped(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url(), ordered=True, schedule_s=[])
        await stage.happens(event("o-1", 1))
        await stage.work()
        await stage.happens(event("o-1", 2))
        stage.clock.turn(3 * KEPT.total_seconds())
        await stage.work()
        assert await stage.messages() == ["FAILED", "PENDING"]
        async with stage.client.deps.db.transaction() as tx:
            failed = await tx.row(
                "SELECT message_id::text, subscription_id::text FROM webhook_messages WHERE status = 'FAILED'"
            )
            assert failed
            await subscriptions.require(tx, failed[1], lock=True)
            await by_hand.skip(tx, await history.require(tx, failed[0]))
        await stage.work()
        assert [one["sequence"] for one in posts(receiver)] == [1, 2]
    stage.clock.turn(KEPT.total_seconds())
    await stage.work()
    assert await counts(stage) == [0, 0, 0, 1]


async def test_a_deleted_subscription_sends_nothing_and_leaves_nothing_behind(stage: Stage) -> None:
    async with receiving(answers(500)) as receiver:
        id = await stage.subscribe(receiver.url(), ordered=True, schedule_s=[])
        await stage.happens(event("o-1", 1))
        await stage.work()
        await stage.happens(event("o-1", 2), event("o-2", 1), event("o-2", 2))
        await delete(stage, id)
        assert await stage.secrets(id) == []
        assert id not in metrics.exposition(await metrics.readings(stage.client.deps))[0].decode()
        stage.clock.turn(60)
        await stage.work()
        assert len(posts(receiver)) == 1
    assert await stage.messages() == ["SKIPPED"] * 4
    stage.clock.turn(KEPT.total_seconds() - 60)
    await stage.work()
    assert await counts(stage) == [3, 0, 3, 1], "the one that failed ended a minute earlier"
    stage.clock.turn(60)
    await stage.work()
    assert await counts(stage) == [0, 0, 0, 0]
    assert await stage.client.row("SELECT count(*) FROM webhook_queues") == (0,)


async def test_an_attempt_in_flight_of_a_deleted_subscription_is_still_recorded(stage: Stage) -> None:
    id = await stage.subscribe(NOWHERE)
    flying = await message(stage.client, id, in_flight=True)
    waiting = await message(stage.client, id)
    await delete(stage, id)
    await end_old(stage)
    assert [status for status, _ in await states(stage.client, flying, waiting)] == ["PENDING", "SKIPPED"]
    stage.clock.turn(60)
    await end_old(stage)
    assert [status for status, _ in await states(stage.client, flying)] == ["SKIPPED"]


async def test_a_check_is_bounded_and_waits_for_no_lock(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 7)
    monkeypatch.setattr(retention, "BATCHES", 2)
    id = await held(stage)
    ended = [await message(stage.client, id, "DELIVERED") for _ in range(20)]
    for one in ended:
        await attempt(stage.client, one, 1)
    stage.clock.turn(KEPT.total_seconds())
    with connect(stage.client.deps.settings.database_url) as other, other.transaction():
        other.execute("SELECT FROM webhook_messages WHERE message_id = %s FOR UPDATE", (ended[0],))
        assert await end_old(stage) == 14
        assert await end_old(stage) == 5
    assert await counts(stage) == [1, 1, 1, 1]
    assert await end_old(stage) == 1
    assert await counts(stage) == [0, 0, 0, 1]


async def test_two_processes_that_delete_the_messages_of_one_event_leave_no_event(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    async with receiving(answers()) as receiver:
        for _ in range(4):
            await stage.subscribe(receiver.url())
        await stage.happens(*(event(f"o-{n}") for n in range(10)))
        await stage.work()
    stage.clock.turn(KEPT.total_seconds())
    while (await stage.client.row("SELECT count(*) FROM webhook_messages"))[0]:
        await asyncio.gather(*(end_old(stage) for _ in range(3)))
    assert await counts(stage) == [0, 0, 0, 4]


async def test_an_event_that_comes_again_meanwhile_is_not_deleted_under_its_new_message(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        again = event()
        await stage.happens(again)
        await stage.work()
    stage.clock.turn(KEPT.total_seconds())
    row = {"source": again.source, "event_id": again.id, "type": again.type, "subject": None, "body": ""}
    async with stage.client.deps.db.transaction() as tx:
        await tx.execute(events.STORE, (tx.now, as_json([row])))
        assert await end_old(stage) == 0
        assert await tx.row("SELECT count(*) FROM webhook_events") == (1,)
    assert await end_old(stage) == 1


async def test_a_check_that_fails_ends_no_attempt_and_is_logged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_given: object) -> int:
        raise Busy("busy", "The rows stayed locked.")

    monkeypatch.setattr(retention, "end_old", fails)
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        await stage.work()
        assert len(posts(receiver)) == 1
    assert "old webhook messages were not deleted" in caplog.text


async def test_old_messages_are_found_by_their_index_and_so_are_the_messages_of_an_event(stage: Stage) -> None:
    id = await held(stage)
    now = stage.clock.now()
    await stage.change(
        """
        WITH event AS (
            INSERT INTO webhook_events (source, event_id, type, body, created_at)
            SELECT '/test', n::text, 't', 'x', %s FROM generate_series(1, 50000) AS n RETURNING event_key
        )
        INSERT INTO webhook_messages (message_id, subscription_id, event_key, status, created_at, ended_at)
        SELECT gen_random_uuid(), %s, event_key, 'DELIVERED', %s, %s::timestamptz + event_key * interval '1 minute'
        FROM event
        """,
        *(now, id, now, now),
    )
    await stage.owner("ANALYZE webhook_messages, webhook_events")
    named = {"before": now + timedelta(minutes=5000), "most": retention.AT_ONCE}
    async with stage.client.deps.db.transaction() as tx:
        old = await plan(tx, retention.OLD_MESSAGES, named)
        keys = [row[1] for row in await tx.rows(retention.OLD_MESSAGES, named)]
        unneeded = await plan(tx, retention.DELETE_EVENTS, (keys,))
        gone = await plan(tx, retention.DELETE_SUBSCRIPTIONS, named)
        ended = await plan(tx, retention.END_MESSAGES, named | {"now": now})
    assert "webhook_messages_ended" in old, old
    assert "webhook_messages_event_key_subscription_id_key" in unneeded, unneeded
    assert "webhook_messages_listed" in gone, gone
    assert "webhook_messages_due" in ended, ended
    for shown in (old, unneeded, gone, ended):
        assert "Seq Scan on webhook_messages" not in shown, shown
        assert "Seq Scan on webhook_events" not in shown, shown


async def plan(tx: Any, sql: str, params: Any) -> str:
    return "\n".join(row[0] for row in await tx.rows(f"EXPLAIN {sql}", params))


@pytest.mark.parametrize("days", ["0", "-1", "3651", "1.5", "many"])
def test_days_that_cannot_be_are_refused_at_the_start(days: str) -> None:
    with pytest.raises(MissingSetting, match="WEBHOOK_KEEP_DAYS"):
        read(NEEDED | {"WEBHOOK_KEEP_DAYS": days})


async def test_the_days_are_a_setting(settings: Settings, clock: TurnedClock) -> None:
    keeps = read(NEEDED | {"WEBHOOK_KEEP_DAYS": "1"}).webhook_keep_days
    deps = turned_deps(replace(settings, webhook_keep_days=keeps), clock)
    stage = Stage(Client(deps), clock)
    await message(stage.client, await held(stage), "DELIVERED")
    clock.turn(24 * 3600 - 120)
    await stage.work()
    assert await stage.messages() == ["DELIVERED"]
    clock.turn(120)
    await stage.work()
    assert await stage.messages() == []
    await close_deps(deps)
