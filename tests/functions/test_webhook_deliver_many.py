"""webhook_deliver among 10,000 subscriptions: a delivery costs what it costs among ten."""

from typing import Any

import pytest

from functions.webhook_deliver import fan_out
from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import new_id
from pulsecart.shop.webhooks.db import events, messages, queue
from pulsecart.shop.webhooks.db.secrets import SECRETS
from tests.functions.webhook_stage import PAID, Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, receiving

__all__ = ["clock", "deps", "settings", "stage"]
MANY = """
    WITH made AS (
        INSERT INTO webhook_subscriptions (subscription_id, partner_id, url, event_types, content_mode, signature,
            ordered, concurrency, schedule_s, consent, status, status_since, version, created_at, updated_at)
        SELECT gen_random_uuid(), 'p-' || n, %(url)s, ARRAY[%(type)s], 'structured', 'v1', false, 10, '{30}',
            'optional', 'ACTIVE', %(now)s, 1, %(now)s, %(now)s
        FROM generate_series(1, %(count)s) AS n RETURNING subscription_id
    ), queues AS (
        INSERT INTO webhook_queues (subscription_id, consent_at) SELECT subscription_id, %(now)s FROM made
    ), secrets AS (
        INSERT INTO webhook_secrets SELECT gen_random_uuid(), subscription_id, '\\x00', %(now)s, NULL FROM made
    )
    INSERT INTO webhook_subscription_types SELECT %(type)s, subscription_id FROM made
"""
CREATED = "ecommerce.order.order.created.v1"
HISTORY = """
    WITH events AS (
        INSERT INTO webhook_events (source, event_id, type, body, created_at)
        SELECT '/t', n::text, %(type)s, '{}', %(now)s FROM generate_series(1, %(count)s) AS n RETURNING event_key
    )
    INSERT INTO webhook_messages (message_id, subscription_id, event_key, status, due_at, created_at)
    SELECT gen_random_uuid(), %(id)s, event_key, CASE WHEN event_key %% 2 = 0 THEN 'PENDING' ELSE 'DELIVERED' END,
        %(now)s, %(now)s FROM events
"""
OTHER = "ecommerce.inventory.stock.adjusted.v1"


async def add_many(stage: Stage, count: int, type: str = OTHER) -> None:
    async with stage.client.deps.db.transaction() as tx:
        named = {"url": "http://127.0.0.1:1/", "type": type, "now": stage.clock.now(), "count": count}
        await tx.execute(MANY, named)


async def statements(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement of one delivery, from the event to its end."""
    seen: list[str] = []
    execute = Tx.execute

    async def counted(self: Tx, sql: str, params: Any = ()) -> Any:
        seen.append(sql)
        return await execute(self, sql, params)

    with monkeypatch.context() as patched:
        patched.setattr(Tx, "execute", counted)
        await stage.happens(event())
        await stage.work()
    return seen


async def test_a_delivery_takes_as_many_statements_with_10_000_subscriptions_as_with_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        await statements(stage, monkeypatch)
        few = await statements(stage, monkeypatch)
        await add_many(stage, 10_000)
        many = await statements(stage, monkeypatch)
        assert len(posts(receiver)) == 3
    looks = {queue.FIRST_DUE, queue.LOCK_DUE}  # some see that nothing is due; their number depends on who is first
    assert sorted(sql for sql in many if sql not in looks) == sorted(sql for sql in few if sql not in looks)
    assert max(sum(sql in looks for sql in seen) for seen in (few, many)) <= 8
    assert len(few) < 40


async def test_no_statement_of_a_delivery_reads_a_whole_table_of_10_000_subscriptions(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url())
        await add_many(stage, 10_000)
        await add_many(stage, 1_000, CREATED)
        await stage.change("UPDATE webhook_queues SET failures = 1 WHERE subscription_id::text < '2'")
        await stage.happens(event(), event(type=CREATED))
        history = {"type": PAID, "now": stage.clock.now(), "count": 50_000, "id": id}
        async with stage.client.deps.db.transaction() as tx:
            await tx.execute(HISTORY, history)
        await stage.owner("ANALYZE")
        ids, now = [id], stage.clock.now()
        one = {"subscription_id": id, "room": 10, "early": False}
        asked: list[tuple[str, Any]] = [
            (events.MATCHING, ([PAID, "ecommerce.*"],)),
            (queue.LOCK, (ids,)),
            (queue.LOCK_DUE, {"now": now, "well": 64, "unwell": 64}),
            (queue.FIRST_DUE, (True,)),
            (queue.STATES, (now, ids)),
            (SECRETS.valid_sql, (ids, now)),
            (messages.TAKE, {"until": now, "now": now, "most": 10, "rooms": as_json([one])}),
            (messages.STEP, (now, as_json([{"message_id": new_id(), "number": 1, "status": "DELIVERED"}]))),
            (messages.PROMOTE, (now, as_json([{"subscription_id": id, "lane": "o-1"}]))),
            (queue.RECOMPUTE, {"now": now, "ids": ids, "added": False}),
        ]
        whole = []
        for sql, params in asked:
            async with stage.client.deps.db.transaction() as tx:
                plan = "\n".join(row[0] for row in await tx.rows(f"EXPLAIN {sql}", params))
            if "Seq Scan" in plan:
                whole.append(f"{sql}\n{plan}")
    assert not whole, "\n".join(whole)


async def test_an_event_for_thousands_of_endpoints_is_stored_once_in_bounded_transactions(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "AT_ONCE", 500)
    await add_many(stage, 1_800, PAID)
    await stage.happens(repeated := event())
    await stage.happens(repeated)
    assert await stage.client.row("SELECT count(*) FROM webhook_events") == (1,)
    assert await stage.client.row("SELECT count(*), count(DISTINCT subscription_id) FROM webhook_messages") == (
        1800,
        1800,
    )
    assert await stage.client.row("SELECT count(*) FROM webhook_queues WHERE due_at = %s", stage.clock.now()) == (1800,)
