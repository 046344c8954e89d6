"""scripts/webhooks listen: a partner's events reach a program on its own machine, signed as deliveries are."""

import asyncio
import signal
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.local.running_shop import RunningShop
from tests.receivers import Got, Receiver, answers, in_turn, receiving
from tests.webhooks.conftest import PAID, Desk

ORDER = "ecommerce.order.order"


async def buy(shop: RunningShop) -> str:
    async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as http:
        body = {"productId": 3, "quantity": 1, "userId": 7}
        bought = await http.post("/api/v1/sync/purchase", json=body)
    assert bought.status_code == 200, bought.text
    return str(bought.json()["orderId"])


def posts(receiver: Receiver) -> list[Got]:
    return [got for got in receiver.got if got.method == "POST"]


async def subscriptions(desk: Desk) -> list[Any]:
    return list((await desk.ask("GET", "/webhook-subscriptions"))["subscriptions"])


async def test_events_of_the_shop_reach_the_local_program_and_each_is_a_line_with_its_answer(desk: Desk) -> None:
    async with (
        receiving(in_turn(answers(204), answers(500), answers())) as receiver,
        desk.listening("--forward-to", receiver.url(), "--events", "order.created,order.confirmed") as listener,
    ):
        ready = await listener.line()
        assert ready["eventTypes"] == [f"{ORDER}.created.v1", f"{ORDER}.confirmed.v1"]
        order = await buy(desk.shop)
        lines = [await listener.line() for _ in range(2)]
        assert [(line["eventType"], line["subject"], line["status"]) for line in lines] == [
            (f"{ORDER}.created.v1", order, 204),
            (f"{ORDER}.confirmed.v1", order, 500),
        ]
        for got, line in zip(posts(receiver), lines, strict=True):
            assert Webhook(ready["secret"]).verify(got.body, got.headers)["subject"] == order
            assert got.headers["webhook-id"] == line["messageId"]
        assert await listener.end() == (0, "")
    assert await subscriptions(desk) == []


async def test_a_forwarded_request_has_the_headers_of_a_delivery(desk: Desk) -> None:
    async with receiving(answers()) as receiver, receiving(answers()) as local:
        subscription = await desk.subscribed(receiver.url())
        async with desk.listening("--forward-to", local.url()) as listener:
            await listener.line()
            await desk.run("trigger", "order.paid")
            await desk.until_status(
                (await desk.ask("GET", f"/webhook-subscriptions/{subscription}/messages"))["messages"][0]["messageId"],
                "DELIVERED",
            )
            assert (await listener.line())["eventType"] == PAID
            await listener.end()
    (delivered,), (forwarded,) = posts(receiver), posts(local)
    ignored = {"host", "accept", "accept-encoding", "connection"}
    assert forwarded.headers.keys() - ignored == delivered.headers.keys() - ignored
    for name in ("content-type", "user-agent"):
        assert forwarded.headers[name] == delivered.headers[name]


async def test_while_it_listens_the_shop_itself_sends_nothing_and_shows_it_as_paused(desk: Desk) -> None:
    async with receiving(answers()) as local, desk.listening("--forward-to", local.url()) as listener:
        made = (await listener.line())["subscriptionId"]
        assert [(one["subscriptionId"], one["status"]) for one in await subscriptions(desk)] == [(made, "PAUSED")]
        message = await desk.example(made)
        assert (await listener.line())["messageId"] == message
        shown = await desk.ask("GET", f"/webhook-messages/{message}")
        assert (shown["status"], shown["attempts"]) == ("PENDING", 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_also_while_the_local_program_hangs(desk: Desk, how: signal.Signals) -> None:
    hanging = asyncio.Event()

    async def hangs(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await reader.read()

    async with receiving(hangs) as local, desk.listening("--forward-to", local.url()) as listener:
        await desk.example((await listener.line())["subscriptionId"])
        await asyncio.wait_for(hanging.wait(), 20)
        assert await listener.end(how) == (0, "")
    assert await subscriptions(desk) == []


async def test_a_local_program_that_is_not_there_is_a_line_and_not_the_end(desk: Desk) -> None:
    async with receiving(answers()) as gone:
        nowhere = gone.url()
    async with desk.listening("--forward-to", nowhere) as listener:
        made = (await listener.line())["subscriptionId"]
        for _ in range(2):
            await desk.example(made)
            assert "error" in await listener.line()
        assert (await listener.end())[0] == 0


async def test_what_a_killed_listener_left_is_mentioned_and_deleted_by_hand(desk: Desk) -> None:
    async with desk.listening("--forward-to", "localhost:1") as listener:
        left = (await listener.line())["subscriptionId"]
    async with desk.listening("--forward-to", "localhost:1") as listener:
        await listener.line()
        status, errors = await listener.end()
    assert (status, f"./scripts/webhooks delete {left}" in errors) == (0, True)
    assert (await desk.run("delete", left)).status == 0


async def test_a_subscription_that_somebody_deletes_ends_it_with_status_1(desk: Desk) -> None:
    async with desk.listening("--forward-to", "localhost:1") as listener:
        made = (await listener.line())["subscriptionId"]
        await desk.run("delete", made)
        _, errors = await asyncio.wait_for(listener.process.communicate(), 20)
    assert listener.process.returncode == 1
    assert errors.decode() == f"webhooks: You have no webhook subscription {made}.\n"


async def test_for_people_it_says_the_secret_and_a_line_for_each_event(desk: Desk) -> None:
    async with receiving(answers()) as local:
        process = await desk.started("listen", "--forward-to", local.url().removeprefix("http://"))
        assert process.stdout
        first = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        second = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert first.startswith("Your signing secret is whsec_")
        assert second == f"Forwarding ecommerce.* to {local.url()}\n"
        await desk.run("trigger", "order.paid")
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert f"  {PAID}  " in line
        assert "→ 200 " in line
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
