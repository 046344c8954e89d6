"""pay: each call to the gateway is on the order's passport and counted; an order's first failure is one warning."""

import asyncio
import logging
from typing import Any

import pytest

import functions.pay.main as pay
from pulsecart.local.prepare import place_triggers
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.telemetry import metrics
from pulsecart.shop.payments.simulated_gateway import SimulatedGateway
from tests.client import Client, until
from tests.functions.conftest import Strict
from tests.functions.money import cancel, confirmed, deliver_all, gateway
from tests.functions.test_orders_passport import deliveries, pass_all, passport


async def attempts(client: Client, order_id: str) -> list[tuple[Any, ...]]:
    """Return call, result and error of each attempt, oldest first."""
    shown = (await passport(client, order_id))["attempts"]
    assert all(one["at"] <= one["endedAt"] for one in shown if one["endedAt"])
    return [(one["call"], one["result"], one["error"]) for one in shown]


async def canceled(client: Client, order_id: str) -> CloudEvent:
    assert await cancel(client, order_id) == 200
    return (await client.log("ecommerce.order.order.canceled.v1"))[-1]


def counted(name: str, *labels: str) -> float:
    sample = {}
    for line in metrics.exposition()[0].decode().splitlines():
        if line.startswith(name + "{"):
            series, _, value = line.rpartition(" ")
            sample[series] = float(value)
    return sum(value for series, value in sample.items() if all(f'"{label}"' in series for label in labels))


def warnings(caplog: pytest.LogCaptureFixture, order_id: str) -> list[str]:
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.getMessage() for record in records if getattr(record, "orderId", "") == order_id]


async def test_a_charge_is_on_the_passport_with_its_time_and_result(client: Client) -> None:
    event = await confirmed(client)
    assert await client.handle_event("pay", event) == 204
    assert await attempts(client, event.partitionkey) == [("charge", "CHARGED", None)]
    (one,) = (await passport(client, event.partitionkey))["attempts"]
    assert (one["operation"], one["causedBy"]) == ("pay", event.id)


@pytest.mark.parametrize(("mode", "result"), [("timeout", "TIMEOUT"), ("fail", "UNAVAILABLE")])
async def test_a_gateway_that_fails_is_seen_on_the_passport_in_the_metrics_and_once_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture, mode: Any, result: str
) -> None:
    await place_triggers(client.deps.settings.database_url)
    before = counted("outside_calls_total", "charge", result), counted("payments_total", result)
    event = await confirmed(client)
    order_id = event.partitionkey
    await gateway(client, mode)
    for _ in range(3):
        assert await client.handle_event("pay", event) == 503
    await canceled(client, order_id)
    assert await client.handle_event("pay", event) == 204
    await pass_all(client, ["pay"])

    tried = await attempts(client, order_id)
    assert [(call, got) for call, got, _ in tried] == [("charge", result)] * 3
    assert all("gateway" in error for _, _, error in tried)
    shown = await passport(client, order_id)
    assert deliveries(shown)[2, "pay"]["result"] == "failed"
    after = counted("outside_calls_total", "charge", result), counted("payments_total", result)
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 3]
    (warned,) = warnings(caplog, order_id)
    assert order_id in warned
    assert result in warned


async def test_orders_that_fail_together_are_warned_of_once_each(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    events = [await confirmed(client, user) for user in range(5)]
    await gateway(client, "fail")
    for _ in range(2):
        assert set(await asyncio.gather(*[client.handle_event("pay", event) for event in events * 2])) == {503}
    assert [len(warnings(caplog, event.partitionkey)) for event in events] == [1] * 5


async def test_a_refund_that_fails_and_then_succeeds_reports_both(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    event = await confirmed(client)
    order_id = event.partitionkey
    assert await client.handle_event("pay", event) == 204
    asked_back = await canceled(client, order_id)
    await gateway(client, "fail")
    for _ in range(2):
        assert await client.handle_event("refund", asked_back) == 503
    await gateway(client, "approve")
    assert await client.handle_event("refund", asked_back) == 204
    tried = [(call, result) for call, result, _ in await attempts(client, order_id)]
    assert tried == [("charge", "CHARGED"), *[("refund", "UNAVAILABLE")] * 2, ("refund", "REFUNDED")]
    assert len(warnings(caplog, order_id)) == 1
    assert counted("outside_calls_total", "refund", "REFUNDED") >= 1


async def test_what_no_one_knows_to_be_charged_is_voided_and_that_is_reported(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    event = await confirmed(client)
    await gateway(client, "timeout")
    assert await client.handle_event("pay", event) == 503
    asked_back = await canceled(client, event.partitionkey)
    assert await client.handle_event("refund", asked_back) == 503
    await gateway(client, "approve")
    await deliver_all(client)
    tried = [(call, result) for call, result, _ in await attempts(client, event.partitionkey)]
    assert tried[:2] == [("charge", "TIMEOUT"), ("void", "TIMEOUT")]
    assert tried[-1][1] in ("VOIDED", "REFUNDED")
    assert len(warnings(caplog, event.partitionkey)) == 1


async def test_a_buyer_who_pays_by_hand_sees_what_failed(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await gateway(client, "fail")
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/pay")).status == 503
    await gateway(client, "approve")
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/pay")).status == 200
    tried = [(call, result) for call, result, _ in await attempts(client, order_id)]
    assert tried == [("charge", "UNAVAILABLE"), ("charge", "CHARGED")]
    assert {one["causedBy"] for one in (await passport(client, order_id))["attempts"]} == {None}


async def test_a_gateway_that_says_nothing_is_a_timeout_for_all_who_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def silent(self: SimulatedGateway, *_: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def cut_off(operation: str, event: CloudEvent) -> None:
        """Cancel the delivery, as a trigger's own timeout does."""
        asked.clear()
        delivery = asyncio.create_task(client.handle_event(operation, event))
        await asked.wait()
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery

    event = await confirmed(client)
    monkeypatch.setattr(pay, "GATEWAY_S", 0.5)
    monkeypatch.setattr(SimulatedGateway, "charge_all", silent)
    await cut_off("pay", event)

    async def has_ended() -> bool:
        return bool((await attempts(client, event.partitionkey))[0][1] != "UNKNOWN")

    await until(has_ended)
    assert [(call, result) for call, result, _ in await attempts(client, event.partitionkey)] == [("charge", "TIMEOUT")]

    monkeypatch.setattr(SimulatedGateway, "void", silent)
    await cut_off("refund", await canceled(client, event.partitionkey))
    assert (await attempts(client, event.partitionkey))[-1][:2] == ("void", "TIMEOUT")


async def test_a_process_that_dies_meanwhile_leaves_a_try_without_a_result(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    event = await confirmed(client)
    monkeypatch.setattr("pulsecart.shop.payments.payment.record", dies)
    assert await client.handle_event("pay", event) == 500
    assert await attempts(client, event.partitionkey) == [("charge", "UNKNOWN", None)]


async def test_what_no_one_expected_is_reported_in_full_to_an_admin_alone(
    client: Client, strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: SimulatedGateway, *_: Any) -> Any:
        raise RuntimeError("relation ink\0 is empty")

    event = await confirmed(client)
    with monkeypatch.context() as patched:
        patched.setattr(SimulatedGateway, "charge_all", breaks)
        assert await client.handle_event("pay", event) == 500
    assert await attempts(client, event.partitionkey) == [("charge", "ERROR", "unexpected error")]
    path = f"/api/v1/orders/{event.partitionkey}/passport"
    (one,) = (await strict.ask("GET", path, **strict.signed("1", "admin"))).body["attempts"]
    assert one["error"] == "RuntimeError: relation ink\\x00 is empty"


async def test_no_transaction_is_open_while_the_gateway_is_asked_for_money_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    asked = SimulatedGateway.refund

    async def watched(self: SimulatedGateway, key: str) -> Any:
        seen.append(await client.row("SELECT count(*) FROM pg_locks WHERE relation = 'order_calls'::regclass"))
        return await asked(self, key)

    event = await confirmed(client)
    assert await client.handle_event("pay", event) == 204
    monkeypatch.setattr(SimulatedGateway, "refund", watched)
    assert await client.handle_event("refund", await canceled(client, event.partitionkey)) == 204
    assert seen == [(0,)]


async def test_while_the_database_is_away_the_failure_is_in_the_log_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionError("no database")

    event = await confirmed(client)
    await gateway(client, "fail")
    monkeypatch.setattr("pulsecart.shop.payments.db.calls.failed_before", away)
    assert await client.handle_event("pay", event) == 503
    assert len(warnings(caplog, event.partitionkey)) == 1
