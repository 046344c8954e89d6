"""refund: refunds a canceled order once; an order that was never charged cannot be charged any more."""

import asyncio
from typing import Any

import pytest

import functions.refund.main as refund
from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.events import OrderCanceled
from pulsecart.shop.payments.events import PaymentRefunded
from pulsecart.shop.payments.simulated_gateway import Charge, SimulatedGateway
from tests.client import Client
from tests.functions.money import cancel, confirmed, events_of, gateway, state


async def paid_and_canceled(client: Client) -> CloudEvent:
    event = await confirmed(client)
    assert await client.handle_event("pay", event) == 204
    return await canceled(client, event.partitionkey)


async def canceled(client: Client, order_id: str) -> CloudEvent:
    assert await cancel(client, order_id) == 200
    return (await client.log(OrderCanceled.TYPE))[-1]


async def test_a_paid_order_that_is_canceled_gets_its_money_back(client: Client) -> None:
    event = await paid_and_canceled(client)
    assert await client.handle_event("refund", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", "REFUNDED", "REFUNDED")
    (refunded,) = await client.log(PaymentRefunded.TYPE)
    assert b'"amount":49.9' in (refunded.data or b"")
    assert await events_of(client, event.partitionkey) == ["created", "confirmed", "paid", "canceled", "refunded"]
    assert refunded.sequence == 5


async def test_the_same_event_twice_and_at_once_returns_it_once(client: Client) -> None:
    event = await paid_and_canceled(client)
    await asyncio.gather(*(client.handle_event("refund", event) for _ in range(5)))
    assert await client.handle_event("refund", event) == 204
    assert (await events_of(client, event.partitionkey)).count("refunded") == 1


async def test_an_order_no_one_asked_money_for_has_nothing_to_return(client: Client) -> None:
    event = await canceled(client, (await confirmed(client)).partitionkey)
    assert await client.handle_event("refund", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", None, None)


async def test_money_that_no_one_knows_was_taken_is_returned_or_never_taken(client: Client) -> None:
    events = [await confirmed(client, user) for user in range(24)]  # some were charged all the same
    await gateway(client, "timeout")
    for event in events:
        assert await client.handle_event("pay", event) == 503
    await gateway(client, "approve")
    ends = set()
    for event in events:
        assert await client.handle_event("refund", await canceled(client, event.partitionkey)) == 204
        assert await client.handle_event("pay", event) == 204  # the broker's next try, too late
        ends.add(await state(client, event.partitionkey))
        refunded = (await events_of(client, event.partitionkey)).count("refunded")
        assert refunded == ((await state(client, event.partitionkey))[1] == "REFUNDED")
    assert ends == {("CANCELED", "REFUNDED", "REFUNDED"), ("CANCELED", "VOIDED", "VOIDED")}


@pytest.mark.parametrize("mode", ["timeout", "fail"])
async def test_a_gateway_that_is_away_is_asked_again(client: Client, mode: Any) -> None:
    event = await paid_and_canceled(client)
    await gateway(client, mode)
    assert await client.handle_event("refund", event) == 503
    assert (await state(client, event.partitionkey))[:2] == ("CANCELED", "CHARGED")
    await gateway(client, "approve")
    assert await client.handle_event("refund", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", "REFUNDED", "REFUNDED")


async def test_a_gateway_that_says_nothing_is_given_up_in_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: SimulatedGateway, *_: Any) -> Charge:
        await asyncio.Event().wait()
        raise AssertionError

    event = await paid_and_canceled(client)
    monkeypatch.setattr(refund, "GATEWAY_S", 0.01)
    monkeypatch.setattr(SimulatedGateway, "refund", silent)
    assert await client.handle_event("refund", event) == 503


async def test_a_process_that_dies_after_the_refund_reports_it_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await paid_and_canceled(client)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(refund, "_record", dies)
        assert await client.handle_event("refund", event) == 500
    assert await state(client, event.partitionkey) == ("CANCELED", "CHARGED", "REFUNDED")
    for _ in range(2):
        assert await client.handle_event("refund", event) == 204
    assert (await events_of(client, event.partitionkey)).count("refunded") == 1


async def test_a_forged_cancellation_of_a_live_order_returns_nothing(client: Client) -> None:
    event = await paid_and_canceled(client)
    await client.rows("UPDATE orders SET status = 'PAID', cancel_reason = NULL RETURNING 1")
    assert await client.handle_event("refund", event) == 204
    assert (await state(client, event.partitionkey))[1:] == ("CHARGED", "CHARGED")
