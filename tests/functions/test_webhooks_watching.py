"""webhooks: messages oldest first, attempts as a log, the backlog, and a subscription that is paused from its start."""

from datetime import timedelta
from typing import Any

import pytest

from pulsecart.runtime.contracts import event_types
from pulsecart.runtime.event import new_id, rfc3339
from pulsecart.shop.webhooks.db import backlog
from pulsecart.shop.webhooks.patterns import sent_types
from tests.client import Client
from tests.functions.webhook_rows import PAID, SUBSCRIPTIONS, Partner, attempt, kind, message, queue, states


@pytest.fixture
def partner(client: Client) -> Partner:
    return Partner(client)


async def listed(partner: Partner, path: str) -> Any:
    answered = await partner.ask("GET", path)
    assert answered.status == 200, answered
    return answered.body


async def test_oldest_first_goes_on_after_the_last_message_that_was_seen(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    path = f"{SUBSCRIPTIONS}/{subscription}/messages?sort=created&limit=2"
    made = [await message(client, subscription) for _ in range(3)]
    first = await listed(partner, path)
    assert [one["messageId"] for one in first["messages"]] == made[:2]
    rest = await listed(partner, f"{path}&cursor={first['next']}")
    assert [one["messageId"] for one in rest["messages"]] == made[2:]
    assert "next" not in rest
    after = f"{path}&cursor={made[-1]}"
    assert await listed(partner, after) == {"messages": []}
    made.append(await message(client, subscription, "DELIVERED"))
    assert [one["messageId"] for one in (await listed(partner, after))["messages"]] == made[3:]
    assert await listed(partner, f"{after}&status=PENDING") == {"messages": []}


async def test_the_order_is_that_of_the_commits_whatever_the_clocks_of_the_processes(
    client: Client, partner: Partner
) -> None:
    subscription = await partner.subscribed()
    first, second = [await message(client, subscription) for _ in range(2)]
    async with client.deps.db.transaction() as tx:  # made by a process whose clock is ahead
        early = f"ffffffff{first[8:]}"
        await tx.execute("UPDATE webhook_messages SET message_id = %s WHERE message_id = %s", (early, first))
    path = f"{SUBSCRIPTIONS}/{subscription}/messages"
    assert [one["messageId"] for one in (await listed(partner, f"{path}?sort=created"))["messages"]] == [early, second]
    assert [one["messageId"] for one in (await listed(partner, path))["messages"]] == [second, early]


async def test_a_cursor_is_a_message_of_this_subscription_and_a_sort_is_one_of_two(
    client: Client, partner: Partner
) -> None:
    path = f"{SUBSCRIPTIONS}/{await partner.subscribed()}/messages"
    elsewhere = await message(client, await partner.subscribed())
    for query, problem in (
        (f"cursor={elsewhere}", "cursor-malformed"),
        (f"cursor={new_id()}", "cursor-malformed"),
        ("sort=status", "query-malformed"),
    ):
        assert kind(await partner.ask("GET", f"{path}?{query}")) == problem


async def test_a_subscription_that_is_paused_from_its_start_sends_nothing_before_it_is_resumed(
    client: Client, partner: Partner
) -> None:
    subscription = await partner.subscribed(paused=True)
    shown = await partner.shown(subscription)
    assert (shown["status"], shown["statusReason"]) == ("PAUSED", "Paused on request.")
    sent = await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/example", {"eventType": PAID})
    held, _ = await queue(client, subscription)
    assert held
    await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/resume")
    assert await queue(client, subscription) == (False, True)
    assert await states(client, sent.body["messageId"]) == [("PENDING", True)]


async def test_the_log_has_the_attempts_of_all_messages_newest_first_in_pages(client: Client, partner: Partner) -> None:
    subscription, now = await partner.subscribed(), client.deps.clock.now()
    one, two = [await message(client, subscription) for _ in range(2)]
    of = {"subscription_id": subscription}
    ended = {"ended_at": now + timedelta(milliseconds=50), "result": "http", "status": 500, "error": "it answered 500"}
    await attempt(client, one, 1, began_at=now, next_try_at=now + timedelta(seconds=30), **ended, **of)
    await attempt(client, two, 1, began_at=now, **ended, **of)
    await attempt(client, one, 2, began_at=now + timedelta(seconds=30), **of)
    await attempt(client, await message(client, await partner.subscribed()), 1)
    path = f"{SUBSCRIPTIONS}/{subscription}/attempts"
    whole = (await listed(partner, path))["attempts"]
    assert [(entry["messageId"], entry["number"]) for entry in whole] == [(one, 2), (two, 1), (one, 1)]
    assert whole[2] == {
        "messageId": one,
        "eventType": PAID,
        "subject": "o-1",
        "number": 1,
        "probe": False,
        "beganAt": rfc3339(now),
        "endedAt": rfc3339(now + timedelta(milliseconds=50)),
        "durationMs": 50,
        "responseStatus": 500,
        "result": "http",
        "error": "it answered 500",
        "nextTryAt": rfc3339(now + timedelta(seconds=30)),
    }
    assert "endedAt" not in whole[0]
    pages, cursor = [], ""
    while True:
        page = await listed(partner, f"{path}?limit=1{cursor}")
        pages += page["attempts"]
        if "next" not in page:
            break
        cursor = f"&cursor={page['next']}"
    assert pages == whole, "also where two began at the same moment"


@pytest.mark.parametrize(
    "cursor", ["x", "0199e3a4-7c1e-7d2a-9b7e-2f6f0d1c3a61", "0199e3a4-7c1e-7d2a-9b7e-2f6f0d1c3a61.0"]
)
async def test_a_cursor_that_no_page_of_the_log_had_is_refused(partner: Partner, cursor: str) -> None:
    path = f"{SUBSCRIPTIONS}/{await partner.subscribed()}/attempts"
    assert kind(await partner.ask("GET", f"{path}?cursor={cursor}")) == "cursor-malformed"


async def test_the_backlog_counts_what_waits_and_what_failed(
    client: Client, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription, now = await partner.subscribed(ordered=True), client.deps.clock.now()
    path = f"{SUBSCRIPTIONS}/{subscription}/backlog"
    assert await listed(partner, path) == {"messages": 0, "failed": 0, "failedAttempts": 0}
    for lane, due in (("o-1", True), ("o-1", False), (None, True)):
        await message(client, subscription, lane=lane, due=due)
    for status in ("FAILED", "FAILED", "DELIVERED", "SKIPPED"):
        await message(client, subscription, status)
    async with client.deps.db.transaction() as tx:
        await tx.execute("UPDATE webhook_queues SET failures = 4, due_at = %s", (now + timedelta(minutes=1),))
    found = await listed(partner, path)
    assert (found["messages"], found["failed"], found["failedAttempts"]) == (3, 2, 4)
    assert found["nextTryAt"] == rfc3339(now + timedelta(minutes=1))
    assert found["oldestAt"] <= rfc3339(client.deps.clock.now())
    await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/pause")
    assert "nextTryAt" not in await listed(partner, path)
    monkeypatch.setattr(backlog, "COUNTED", 1)
    assert (await listed(partner, path))["messages"] == 1


async def test_another_partner_s_log_and_backlog_are_unknown(client: Client, partner: Partner) -> None:
    subscription, other = await partner.subscribed(), Partner(client, "another-co")
    for part in ("attempts", "backlog", "messages"):
        refused = await other.ask("GET", f"{SUBSCRIPTIONS}/{subscription}/{part}")
        assert (refused.status, kind(refused)) == (404, "unknown-subscription")


async def test_the_types_that_a_partner_can_get_are_listed_in_the_words_of_their_contracts(
    client: Client, partner: Partner
) -> None:
    types = (await listed(partner, "/api/v1/webhook-event-types"))["eventTypes"]
    assert {one["type"] for one in types} == sent_types(event_types())
    assert next(one["title"] for one in types if one["type"] == PAID) == "Order paid"
    await partner.subscribed(eventTypes=[one["type"] for one in types])
