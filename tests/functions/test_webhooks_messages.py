"""webhooks: messages and attempts are listed, and sent again, skipped or made as examples on request."""

import asyncio
import json
from datetime import timedelta

import pytest

from pulsecart.runtime.contracts import event_types, validate
from pulsecart.runtime.event import rfc3339
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.db import by_hand
from pulsecart.shop.webhooks.patterns import sent_types
from tests.client import Client
from tests.functions.webhook_rows import (
    MESSAGES,
    PAID,
    SUBSCRIPTIONS,
    Partner,
    attempt,
    kind,
    message,
    queue,
    states,
)


@pytest.fixture
def partner(client: Client) -> Partner:
    return Partner(client)


async def resend(partner: Partner, subscription: str, minutes: float = 60, **members: object) -> object:
    since = rfc3339(partner.client.deps.clock.now() - timedelta(minutes=minutes))
    return (await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/resend", {"since": since} | members)).body


async def test_messages_are_listed_newest_first_in_pages_and_by_status(client: Client, partner: Partner) -> None:
    subscription, other = await partner.subscribed(), await partner.subscribed()
    all_of_it = [await message(client, subscription, status) for status in ("DELIVERED", "FAILED", "PENDING")]
    await message(client, other)
    path = f"{SUBSCRIPTIONS}/{subscription}/messages"
    first = (await partner.ask("GET", f"{path}?limit=2")).body
    rest = (await partner.ask("GET", f"{path}?limit=2&cursor={first['next']}")).body
    listed = first["messages"] + rest["messages"]
    assert [one["messageId"] for one in listed] == all_of_it[::-1]
    assert [one["status"] for one in listed] == ["PENDING", "FAILED", "DELIVERED"]
    assert "next" not in rest
    failed = (await partner.ask("GET", f"{path}?status=FAILED")).body["messages"]
    assert [one["messageId"] for one in failed] == all_of_it[1:2]
    assert failed[0]["endedAt"]
    assert "nextTryAt" not in failed[0]
    for query, problem in (("status=failed", "query-malformed"), ("cursor=x", "cursor-malformed")):
        assert kind(await partner.ask("GET", f"{path}?{query}")) == problem


async def test_a_message_is_shown_with_its_event(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    shown = (await partner.ask("GET", f"{MESSAGES}/{await message(client, subscription, in_flight=True)}")).body
    assert shown["event"]["data"] == {"orderId": "o-1"}
    assert (shown["eventType"], shown["eventId"], shown["subject"]) == (PAID, shown["event"]["id"], "o-1")
    assert (shown["inFlight"], shown["example"]) == (True, False)


async def test_another_partner_s_message_is_unknown_and_unchanged(client: Client, partner: Partner) -> None:
    failed, other = await message(client, await partner.subscribed(), "FAILED"), Partner(client, "another-co")
    for method, path in (("GET", ""), ("GET", "/attempts"), ("POST", "/resend"), ("POST", "/skip")):
        refused = await other.ask(method, f"{MESSAGES}/{failed}{path}")
        assert (refused.status, kind(refused)) == (404, "unknown-message")
    assert await states(client, failed) == [("FAILED", False)]
    assert (await client.ask("GET", f"{MESSAGES}/{failed}")).status == 200


async def test_attempts_are_listed_with_request_and_answer(client: Client, partner: Partner) -> None:
    one, now = await message(client, await partner.subscribed()), client.deps.clock.now()
    ended = {
        "ended_at": now + timedelta(milliseconds=83),
        "result": "http",
        "status": 500,
        "response_headers": json.dumps({"content-type": "text/plain"}),
        "response_body": b"caf\xe9\x00",
        "next_try_at": now + timedelta(seconds=30),
    }
    await attempt(client, one, 1, began_at=now, **ended)
    await attempt(client, one, 2, content_mode="binary")
    await attempt(client, one, 3, began_at=now, ended_at=now, result="timeout", error="no answer within 20 s")
    path = f"{MESSAGES}/{one}/attempts"
    first = (await partner.ask("GET", f"{path}?limit=2")).body
    assert [listed["number"] for listed in first["attempts"]] == [3, 2]
    failed, binary = first["attempts"]
    assert (failed["result"], failed["error"]) == ("timeout", "no answer within 20 s")
    assert "response" not in failed
    assert json.loads(binary["request"]["body"]) == {"orderId": "o-1"}
    assert "endedAt" not in binary
    (oldest,) = (await partner.ask("GET", f"{path}?limit=2&cursor={first['next']}")).body["attempts"]
    assert json.loads(oldest["request"]["body"])["data"] == {"orderId": "o-1"}
    assert oldest["request"]["headers"] == [["webhook-id", one]]
    assert oldest["response"] == {"status": 500, "headers": [["content-type", "text/plain"]], "body": "caf\\xe9\\x00"}
    assert (oldest["durationMs"], oldest["nextTryAt"]) == (83, rfc3339(now + timedelta(seconds=30)))
    for query, problem in (("cursor=0", "cursor-malformed"), ("cursor=x", "cursor-malformed")):
        assert kind(await partner.ask("GET", f"{path}?{query}")) == problem
    assert kind(await partner.ask("GET", f"{path}?limit=21")) == "limit-malformed"


@pytest.mark.parametrize("status", ["FAILED", "DELIVERED", "SKIPPED", "PENDING"])
async def test_a_message_is_sent_again_whatever_its_status_with_its_whole_schedule(
    client: Client, partner: Partner, status: str
) -> None:
    subscription = await partner.subscribed()
    one = await message(client, subscription, status, retries=5)
    sent = await partner.ask("POST", f"{MESSAGES}/{one}/resend")
    assert (sent.status, sent.body["status"]) == (202, "PENDING")
    assert await states(client, one) == [("PENDING", True)]
    assert await client.row("SELECT retries, ended_at FROM webhook_messages") == (0, None)
    assert await queue(client, subscription) == (False, True)


async def test_a_message_in_flight_is_neither_sent_again_nor_skipped(client: Client, partner: Partner) -> None:
    one = await message(client, await partner.subscribed(), in_flight=True)
    for act in ("resend", "skip"):
        refused = await partner.ask("POST", f"{MESSAGES}/{one}/{act}")
        assert (refused.status, kind(refused)) == (409, "message-in-flight")
    async with client.deps.db.transaction() as tx:  # its process is gone
        await tx.execute("UPDATE webhook_messages SET claimed_until = now() - interval '1 s'")
    assert (await partner.ask("POST", f"{MESSAGES}/{one}/skip")).status == 200


async def test_a_skipped_message_makes_way_for_the_next_of_its_lane_alone(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed(ordered=True)
    failed = await message(client, subscription, "FAILED", lane="o-1")
    second, third = [await message(client, subscription, lane="o-1", due=False) for _ in range(2)]
    elsewhere = await message(client, subscription, lane="o-2", due=False)
    skipped = await partner.ask("POST", f"{MESSAGES}/{failed}/skip")
    assert (skipped.status, skipped.body["status"]) == (200, "SKIPPED")
    assert skipped.body["endedAt"]
    expected = [("SKIPPED", False), ("PENDING", True), ("PENDING", False), ("PENDING", False)]
    assert await states(client, failed, second, third, elsewhere) == expected
    assert await queue(client, subscription) == (False, True)
    assert (await partner.ask("POST", f"{MESSAGES}/{failed}/skip")).body == skipped.body
    await partner.ask("POST", f"{MESSAGES}/{third}/skip")
    assert await states(client, second, third) == [("PENDING", True), ("SKIPPED", False)]


async def test_a_delivered_message_is_not_skipped(client: Client, partner: Partner) -> None:
    one = await message(client, await partner.subscribed(), "DELIVERED")
    refused = await partner.ask("POST", f"{MESSAGES}/{one}/skip")
    assert (refused.status, kind(refused)) == (409, "message-delivered")


async def test_what_is_sent_again_is_the_first_of_its_lane_and_the_later_ones_wait(
    client: Client, partner: Partner
) -> None:
    subscription = await partner.subscribed(ordered=True)
    failed = await message(client, subscription, "FAILED", lane="o-1")
    later = await message(client, subscription, lane="o-1", due=False)
    await partner.ask("POST", f"{MESSAGES}/{failed}/resend")
    assert await states(client, failed, later) == [("PENDING", True), ("PENDING", False)]
    await partner.ask("POST", f"{MESSAGES}/{later}/resend")
    assert await states(client, failed, later) == [("PENDING", True), ("PENDING", False)]


async def test_all_that_failed_since_a_time_are_counted_first_and_then_sent_again(
    client: Client, partner: Partner
) -> None:
    subscription, now = await partner.subscribed(), client.deps.clock.now()
    old = await message(client, subscription, "FAILED", ended_at=now - timedelta(hours=2))
    failed = [await message(client, subscription, "FAILED", retries=5) for _ in range(3)]
    delivered = await message(client, subscription, "DELIVERED")
    elsewhere = await message(client, await partner.subscribed(), "FAILED")
    assert await resend(partner, subscription, dryRun=True) == {"count": 3, "dryRun": True}
    assert await states(client, *failed) == [("FAILED", False)] * 3
    assert await resend(partner, subscription) == {"count": 3, "dryRun": False}
    assert await states(client, *failed) == [("PENDING", True)] * 3
    unchanged = [("FAILED", False), ("DELIVERED", False), ("FAILED", False)]
    assert await states(client, old, delivered, elsewhere) == unchanged
    assert await queue(client, subscription) == (False, True)
    assert await resend(partner, subscription) == {"count": 0, "dryRun": False}


async def test_many_are_sent_again_in_several_transactions(
    client: Client, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand, "AT_ONCE", 2)
    subscription = await partner.subscribed(ordered=True)
    failed = [await message(client, subscription, "FAILED", lane=f"o-{place % 2}") for place in range(5)]
    assert await resend(partner, subscription) == {"count": 5, "dryRun": False}
    expected = [("PENDING", True)] * 2 + [("PENDING", False)] * 3
    assert await states(client, *failed) == expected


@pytest.mark.parametrize("since", ["yesterday", "2026-01-01T00:00:00", "1000-01-01T00:00:00Z"])
async def test_a_time_that_is_none_sends_nothing_again(partner: Partner, since: str) -> None:
    subscription = await partner.subscribed()
    refused = await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/resend", {"since": since})
    assert (refused.status, kind(refused) in ("body-invalid", "moment-malformed")) == (400, True)


async def test_an_example_of_each_type_becomes_a_message_of_this_subscription_alone(
    client: Client, partner: Partner
) -> None:
    subscription, path = await partner.subscribed(ordered=True), f"{SUBSCRIPTIONS}/{await partner.subscribed()}/example"
    for event_type in sorted(sent_types(event_types())):
        sent = await partner.ask("POST", path, {"eventType": event_type})
        assert (sent.status, sent.body["example"], sent.body["eventType"]) == (202, True, event_type)
        (body,) = await client.row(
            "SELECT body FROM webhook_events JOIN webhook_messages USING (event_key) WHERE message_id = %s",
            sent.body["messageId"],
        )
        event = cloudevents.decode({"content-type": cloudevents.STRUCTURED}, body)
        validate(event)
        assert event.extensions["example"] == "true"
    assert (await partner.ask("GET", f"{SUBSCRIPTIONS}/{subscription}/messages")).body == {"messages": []}
    assert await queue(client, path.split("/")[4]) == (False, True)
    assert [event.type for event in await client.log() if event.source.startswith("/pulsecart/webhooks")] == []


@pytest.mark.parametrize("event_type", ["ecommerce.order.order.sold.v1", "ecommerce.webhook.delivery.failed.v1"])
async def test_there_is_no_example_of_what_is_never_sent(partner: Partner, event_type: str) -> None:
    path = f"{SUBSCRIPTIONS}/{await partner.subscribed()}/example"
    refused = await partner.ask("POST", path, {"eventType": event_type})
    assert (refused.status, kind(refused)) == (422, "unknown-event-type")
    assert kind(await partner.ask("POST", path, {"eventType": "ecommerce.*"})) == "body-invalid"


async def test_whatever_makes_a_message_due_wakes_the_operation_that_sends_it(client: Client, partner: Partner) -> None:
    woken = asyncio.Event()

    async def wake() -> None:
        woken.set()

    client.deps.wake_ups.register("webhook_deliver", wake)
    subscription = await partner.subscribed()
    for path, body in (
        (f"{SUBSCRIPTIONS}/{subscription}/example", {"eventType": PAID}),
        (f"{SUBSCRIPTIONS}/{subscription}/resume", None),
        (f"{SUBSCRIPTIONS}/{subscription}/resend", {"since": "2026-01-01T00:00:00Z"}),
        (f"{MESSAGES}/{await message(client, subscription, 'FAILED')}/resend", None),
        (f"{MESSAGES}/{await message(client, subscription, 'FAILED')}/skip", None),
    ):
        woken.clear()
        assert (await partner.ask("POST", path, body)).status < 300
        await asyncio.wait_for(woken.wait(), 5)
