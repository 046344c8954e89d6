"""pay: charges an order that holds stock once; events may be repeated, late or lost."""

import asyncio
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

import functions.pay.main as pay
from pulsecart.admin.audit.audit import audit
from pulsecart.runtime.event import new_id
from pulsecart.shop.orders.events import OrderConfirmed, OrderPaid
from pulsecart.shop.payments import payment
from pulsecart.shop.payments.events import PaymentFailed, RefundRequested
from pulsecart.shop.payments.simulated_gateway import SimulatedGateway
from tests.client import Client
from tests.functions.money import cancel, confirmed, deliver_all, events_of, gateway, left, state


async def test_an_order_that_holds_stock_is_charged_and_paid(client: Client) -> None:
    event = await confirmed(client)
    assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("PAID", "CHARGED", "CHARGED")
    (paid,) = await client.log(OrderPaid.TYPE)
    assert paid.extensions["causationid"] == event.id
    assert paid.sequence == 3
    assert await client.row("SELECT amount_minor, currency FROM simulated_gateway.charges") == (4990, "USD")


async def test_the_same_event_again_and_again_at_once_charges_once(client: Client) -> None:
    event = await confirmed(client)
    statuses = await asyncio.gather(*(client.handle_event("pay", event) for _ in range(8)))
    assert set(statuses) <= {204, 503}
    assert await client.handle_event("pay", event) == 204
    assert await client.row("SELECT count(*) FROM simulated_gateway.charges") == (1,)
    assert await events_of(client, event.partitionkey) == ["created", "confirmed", "paid"]


async def test_events_of_one_id_from_different_sources_are_different_events(client: Client) -> None:
    confirmations = [await confirmed(client, user) for user in range(3)]
    events = [replace(event, id="1", source=f"/{at}") for at, event in enumerate(confirmations)]
    assert await asyncio.gather(*(client.handle_event("pay", event) for event in events)) == [204] * 3
    assert [await state(client, event.partitionkey) for event in events] == [("PAID", "CHARGED", "CHARGED")] * 3
    noted = "SELECT caused_by_source FROM order_status_history WHERE caused_by = '1' ORDER BY 1"
    assert await client.rows(noted) == [("/0",), ("/1",), ("/2",)]


async def test_a_declined_order_is_canceled_and_its_unit_and_allowance_return(client: Client) -> None:
    event, before = await confirmed(client), await left(client)
    await gateway(client, "decline")
    for _ in range(2):
        assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", "DECLINED", "DECLINED")
    assert await events_of(client, event.partitionkey) == ["created", "confirmed", "failed", "canceled"]
    (failed,) = await client.log(PaymentFailed.TYPE)
    assert b'"reason":"DECLINED"' in (failed.data or b"")
    assert await left(client) == (before[0] + 1, before[1] - 1)
    assert await client.row("SELECT cancel_reason FROM orders") == ("PAYMENT_DECLINED",)


async def test_a_gateway_that_times_out_is_asked_again_with_the_same_key(client: Client) -> None:
    events = [await confirmed(client, user) for user in range(24)]  # some of them were charged all the same
    await gateway(client, "timeout")
    for event in events:
        assert await client.handle_event("pay", event) == 503
    charged = await client.row("SELECT count(*) FROM simulated_gateway.charges")
    assert 0 < charged[0] < 24
    await gateway(client, "approve")
    for event in events:
        assert await client.handle_event("pay", event) == 204
        assert await state(client, event.partitionkey) == ("PAID", "CHARGED", "CHARGED")
    assert await client.row("SELECT count(*) FROM simulated_gateway.charges") == (24,)


async def test_a_gateway_that_is_down_leaves_the_intent_and_nothing_else(client: Client) -> None:
    event = await confirmed(client)
    await gateway(client, "fail")
    assert await client.handle_event("pay", event) == 503
    assert await state(client, event.partitionkey) == ("CONFIRMED", "INTENDED", None)
    assert await events_of(client, event.partitionkey) == ["created", "confirmed"]


async def test_a_gateway_that_says_nothing_is_given_up_in_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: SimulatedGateway, *_: Any) -> Any:
        await asyncio.Event().wait()
        raise AssertionError

    event = await confirmed(client)
    monkeypatch.setattr(pay, "GATEWAY_S", 0.01)
    monkeypatch.setattr(SimulatedGateway, "charge_all", silent)
    assert await client.handle_event("pay", event) == 503


async def test_no_transaction_is_open_while_the_gateway_is_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge, seen = SimulatedGateway.charge_all, []

    async def watched(self: SimulatedGateway, *asked: Any) -> Any:
        seen.append(await client.row("SELECT count(*) FROM pg_locks WHERE relation = 'payments'::regclass"))
        return await charge(self, *asked)

    event = await confirmed(client)
    monkeypatch.setattr(SimulatedGateway, "charge_all", watched)
    await client.handle_event("pay", event)
    assert seen == [(0,)]


async def test_a_process_that_dies_after_the_charge_charges_once_when_it_comes_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await confirmed(client)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(payment, "record", dies)
        assert await client.handle_event("pay", event) == 500
    assert await state(client, event.partitionkey) == ("CONFIRMED", "INTENDED", "CHARGED")
    assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("PAID", "CHARGED", "CHARGED")
    assert await client.row("SELECT count(*) FROM simulated_gateway.charges") == (1,)


async def test_an_order_canceled_before_its_turn_is_not_charged(client: Client) -> None:
    event = await confirmed(client)
    await cancel(client, event.partitionkey)
    assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", None, None)


async def test_a_charge_that_returns_for_an_order_canceled_meanwhile_is_asked_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = SimulatedGateway.charge_all
    event = await confirmed(client)

    async def overtaken(self: SimulatedGateway, *asked: Any) -> Any:
        answer = await charge(self, *asked)
        assert await cancel(client, event.partitionkey) == 200
        return answer

    monkeypatch.setattr(SimulatedGateway, "charge_all", overtaken)
    assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", "CHARGED", "CHARGED")
    (request,) = await client.log(RefundRequested.TYPE)
    assert b"LATE_CHARGE" in (request.data or b"")
    await deliver_all(client)
    assert await state(client, event.partitionkey) == ("CANCELED", "REFUNDED", "REFUNDED")
    assert (await events_of(client, event.partitionkey)).count("refunded") == 1


async def test_a_charge_that_comes_after_its_void_takes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = SimulatedGateway.charge_all
    event = await confirmed(client)

    async def late(self: SimulatedGateway, *asked: Any) -> Any:
        assert await cancel(client, event.partitionkey) == 200
        (canceled,) = await client.log("ecommerce.order.order.canceled.v1")
        assert await client.handle_event("refund", canceled) == 204
        return await charge(self, *asked)

    monkeypatch.setattr(SimulatedGateway, "charge_all", late)
    assert await client.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("CANCELED", "VOIDED", "VOIDED")
    assert await events_of(client, event.partitionkey) == ["created", "confirmed", "canceled"]


async def test_an_order_that_is_not_there_is_a_dead_letter(client: Client) -> None:
    event = await confirmed(client)
    unknown = (event.data or b"").replace(event.partitionkey.encode(), new_id().encode())
    assert await client.handle_event("pay", replace(event, data=unknown)) == 422


async def test_a_share_of_the_payments_meets_the_behaviour_always_the_same_ones(client: Client) -> None:
    events = [await confirmed(client, user) for user in range(30)]
    await gateway(client, "decline", 0.5)
    for event in events:
        await client.handle_event("pay", event)
    counted = dict(await client.rows("SELECT status, count(*) FROM orders GROUP BY 1"))
    assert counted["PAID"] + counted["CANCELED"] == 30
    assert 3 <= counted["PAID"] <= 27


async def test_the_simulator_reports_its_behaviour_and_takes_no_nonsense(client: Client) -> None:
    await gateway(client, "timeout", 0.25)
    reported = await client.ask("GET", "/api/v1/payments/simulator")
    assert reported.body == {"mode": "timeout", "share": 0.25}
    for nonsense in ({"mode": "bribe"}, {"mode": "fail", "share": 2}, {}):
        assert (await client.ask("PUT", "/api/v1/payments/simulator", nonsense)).status in (400, 422)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_order_events_come_in_money_and_goods_agree_in_the_end(client: Client, seed: int) -> None:
    dice = Random(seed)
    orders = [(await confirmed(client, user)).partitionkey for user in range(5)]
    subscriber_of = {
        OrderConfirmed.TYPE: "pay",
        OrderPaid.TYPE: "fulfil",
        "ecommerce.order.order.canceled.v1": "refund",
    }
    for _ in range(40):
        await gateway(client, dice.choice(("approve", "approve", "decline", "timeout", "fail")), dice.random())
        if dice.random() < 0.15:
            await cancel(client, dice.choice(orders))
        event = dice.choice(await client.log(*subscriber_of))
        assert await client.handle_event(subscriber_of[event.type], event) in (204, 503)
    await gateway(client, "approve")
    await deliver_all(client, dice)
    for order_id in orders:
        assert await state(client, order_id) in {
            ("FULFILLED", "CHARGED", "CHARGED"),
            ("CANCELED", "DECLINED", "DECLINED"),
            ("CANCELED", "REFUNDED", "REFUNDED"),
            ("CANCELED", "VOIDED", "VOIDED"),
            ("CANCELED", None, None),
        }
        steps = await events_of(client, order_id)
        assert steps.count("refunded") == (await state(client, order_id) == ("CANCELED", "REFUNDED", "REFUNDED"))
        assert all(steps.count(step) <= 1 for step in ("paid", "fulfilled", "canceled", "failed", "requested"))
    report = await asyncio.to_thread(audit, client.deps.settings.database_url)
    assert [(finding.check, finding.rows) for finding in report.findings] == []
