"""scripts/webhooks: a partner lists, sends again, pauses, resumes and tries its webhooks from a terminal."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.local.running_shop import RunningShop
from tests.receivers import answers, in_turn, receiving
from tests.tokens import bearer
from tests.webhooks.conftest import PAID, Desk
from tools.webhooks.moments import since_of

UNKNOWN = "0199e3a4-7c1e-7d2a-9b7e-2f6f0d1c3a60"


async def test_the_list_has_status_and_backlog_of_the_partner_s_own_subscriptions_alone(desk: Desk) -> None:
    assert (await desk.run("list")).out == "You have no webhook subscriptions.\n"
    async with receiving(answers(500)) as receiver:
        subscription = await desk.subscribed(receiver.url())
        await desk.until_status(await desk.example(subscription), "FAILED")
        other = Desk(desk.shop, "somebody-else")
        await other.subscribed(receiver.url())
        said = await desk.run("list")
        first, url, types = said.out.splitlines()
        assert first == f"{subscription}  ACTIVE  0 waiting, 1 failed"
        assert (url.strip(), types.strip()) == (receiver.url(), "ecommerce.order.*")
        (listed,) = (await desk.run("list", "--json")).json
        assert (listed["subscriptionId"], listed["backlog"]["failed"]) == (subscription, 1)
        assert (await desk.run("--json", "show", subscription)).json["url"] == receiver.url()


async def test_messages_and_attempts_are_listed_with_request_and_answer(desk: Desk) -> None:
    async with receiving(answers(500, [("x-why", "full")], b"no \x1b[31mroom")) as receiver:
        subscription = await desk.subscribed(receiver.url())
        message = await desk.example(subscription)
        await desk.until_status(message, "FAILED")
    listed = (await desk.run("messages", subscription, "--status", "FAILED")).out
    assert message in listed
    assert "FAILED  1 attempt, example" in listed
    assert (await desk.run("messages", subscription, "--status", "PENDING")).out == "There are no such messages.\n"
    attempts = (await desk.run("attempts", message, "--full")).out
    assert "http, answer 500" in attempts
    for part in (f"> webhook-id: {message}", '>| {"', "< x-why: full", "<| no \\x1b[31mroom"):
        assert part in attempts
    assert f"{message} #1" in (await desk.run("attempts", subscription)).out
    assert (await desk.run("show", message)).json["event"]["type"] == PAID


async def test_messages_that_failed_are_counted_and_sent_again_after_confirmation_alone(desk: Desk) -> None:
    async with receiving(in_turn(answers(500), answers(500), answers(500), answers())) as receiver:
        subscription = await desk.subscribed(receiver.url())
        failed = [await desk.example(subscription) for _ in range(2)]
        for message in failed:
            await desk.until_status(message, "FAILED")
        asked = await desk.run("resend", "--failed-since", "1h", stdin=b"y\n")
        assert asked.status == 2, "standard input is no terminal"
        assert "2 messages failed since then; nothing was done. Use --yes" in asked.errors
        assert f"       2  {subscription}" in asked.out
        since = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert (await desk.run("resend", "--failed-since", since)).out == "0 messages will be sent again.\n"
        sent = await desk.run("resend", "--failed-since", "1h", "--yes", "--json", "--subscription", subscription)
        assert sent.json == [{"subscriptionId": subscription, "count": 2}]
        for message in failed:
            await desk.until_status(message, "DELIVERED")
        assert (await desk.run("resend", failed[0])).out == "1 message will be sent again.\n"
        await receiver.until(
            lambda one: len([got for got in one.got if got.headers.get("webhook-id") == failed[0]]) == 3
        )


async def test_a_subscription_is_paused_resumed_and_deleted(desk: Desk) -> None:
    async with receiving(answers()) as receiver:
        subscription = await desk.subscribed(receiver.url())
        assert (await desk.run("pause", subscription)).out == f"{subscription} is PAUSED.\n"
        message = await desk.example(subscription)
        assert "1 waiting" in (await desk.run("list")).out
        assert (await desk.run("resume", subscription)).out == f"{subscription} is ACTIVE.\n"
        await desk.until_status(message, "DELIVERED")
        assert (await desk.run("delete", subscription)).out == f"{subscription} is deleted.\n"
        refused = await desk.run("show", subscription)
        assert (refused.status, refused.out) == (1, "")
        assert refused.errors == f"webhooks: You have no webhook message {subscription}.\n"


async def test_trigger_reaches_the_subscriptions_that_get_such_events_or_the_named_one(desk: Desk) -> None:
    async with receiving(answers()) as receiver:
        orders = await desk.subscribed(receiver.url())
        stock = await desk.subscribed(receiver.url(), eventTypes=["ecommerce.inventory.*"])
        (sent,) = (await desk.run("trigger", "order.paid", "--json")).json
        assert (sent["subscriptionId"], sent["eventType"], sent["example"]) == (orders, PAID, True)
        named = (await desk.run("trigger", "order.paid", "--subscription", stock)).out
        assert named.endswith(f"{PAID}  for {stock}\n")
        assert (await desk.run("send-example", stock, PAID)).status == 0
        await receiver.until(lambda one: len([got for got in one.got if got.method == "POST"]) == 3)
        nobody = await desk.run("trigger", "cart.checkedout")
        assert nobody.status == 1
        unknown = await desk.run("trigger", "order.sold", "--subscription", stock)
        assert (unknown.status, unknown.errors.startswith("webhooks: No event of this type is sent")) == (1, True)


async def test_a_token_is_given_by_variable_and_counts_for_its_partner_at_any_shop(desk: Desk) -> None:
    async with receiving(answers()) as receiver:
        subscription = await desk.subscribed(receiver.url())
    token = bearer(desk.shop.data, desk.partner, "partner")["authorization"].removeprefix("Bearer ")
    said = await desk.run("list", "--url", desk.shop.url, token=token)
    assert subscription in said.out
    customer = bearer(desk.shop.data, desk.partner, "customer")["authorization"].removeprefix("Bearer ")
    refused = await desk.run("list", "--url", desk.shop.url, token=customer)
    assert refused.status == 1
    assert len(refused.errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["list", "--url", "http://127.0.0.1:1"], "no shop answers at http://127.0.0.1:1"),
        (["list", "--url", "no-url"], "no shop answers at no-url"),
        (["resend"], "give either messages, or --failed-since"),
        (["resend", UNKNOWN, "--failed-since", "1h"], "give either messages, or --failed-since"),
        (["resend", "--failed-since", "yesterday"], "--failed-since: give a time with its zone"),
        (["listen", "--forward-to", "ftp://localhost"], "is no URL like http://localhost:3000/webhook"),
        (["messages", UNKNOWN, "--limit", "0"], "a whole number from 1"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence_with_status_2(
    desk: Desk, arguments: list[str], reason: str
) -> None:
    said = await desk.run(*arguments, token="a-token")
    assert (said.status, said.out) == (2, "")
    assert reason in said.errors
    assert "Traceback" not in said.errors


async def test_without_a_token_only_the_shop_on_the_data_directory_is_asked(shop: RunningShop, tmp_path: Path) -> None:
    desk = Desk(shop, "a-partner")
    elsewhere = await desk.run("list", "--url", "https://shop.example")
    assert (elsewhere.status, "give your partner's token for https://shop.example" in elsewhere.errors) == (2, True)
    nowhere = await desk.run("list", "--data", str(tmp_path))
    assert (nowhere.status, "start one with ./scripts/up" in nowhere.errors) == (2, True)


async def test_an_id_is_one_part_of_a_path(desk: Desk) -> None:
    said = await desk.run("pause", f"{UNKNOWN}/../../webhook-subscriptions?x=")
    assert said.status == 1
    assert "Traceback" not in said.errors


def test_a_moment_is_a_time_with_its_zone_or_so_long_ago() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert since_of("90m", now) == datetime(2026, 11, 30, 10, 30, tzinfo=UTC)
    assert since_of("2d", now) == datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert since_of("2026-11-30T08:00:00Z", now) == datetime(2026, 11, 30, 8, tzinfo=UTC)
    for text in ("2026-11-30T08:00:00", "90", "m", "-1h", json.dumps(None)):
        with pytest.raises(ValueError, match="give a time with its zone"):
            since_of(text, now)
