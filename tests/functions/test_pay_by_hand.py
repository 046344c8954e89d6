"""pay: an order's owner pays manually; with the automatic charge beside it, the order is charged once."""

import asyncio
from dataclasses import replace

from pulsecart.runtime.deps import close_deps, open_deps
from tests.client import Client
from tests.functions.conftest import Strict
from tests.functions.money import cancel, confirmed, deliver_all, events_of, gateway, left, state

HISTORY = "SELECT status, actor FROM order_status_history WHERE order_id = %s ORDER BY sequence"


def path(order_id: str) -> str:
    return f"/api/v1/orders/{order_id}/pay"


async def test_a_confirmed_order_is_paid_by_its_buyer_s_word(client: Client) -> None:
    order_id = (await confirmed(client)).partitionkey
    paid = await client.ask("POST", path(order_id))
    assert (paid.status, paid.body["status"]) == (200, "PAID")
    assert await state(client, order_id) == ("PAID", "CHARGED", "CHARGED")
    assert (await client.rows(HISTORY, order_id))[-1] == ("PAID", "buyer:7")
    await deliver_all(client)
    again = await client.ask("POST", path(order_id))
    assert (again.status, again.body["status"]) == (200, "FULFILLED")
    assert await events_of(client, order_id) == ["created", "confirmed", "paid", "fulfilled"]


async def test_where_buyers_pay_by_hand_nothing_is_charged_before_they_do(client: Client) -> None:
    by_hand = open_deps(replace(client.deps.settings, pay_by_hand=True))
    patient = Client(by_hand)
    event = await confirmed(client)
    assert await patient.handle_event("pay", event) == 204
    assert await state(client, event.partitionkey) == ("CONFIRMED", None, None)
    assert (await patient.ask("POST", path(event.partitionkey))).status == 200
    assert await state(client, event.partitionkey) == ("PAID", "CHARGED", "CHARGED")
    assert await patient.handle_event("pay", event) == 204
    assert (await events_of(client, event.partitionkey)).count("paid") == 1
    await close_deps(by_hand)


async def test_by_hand_and_by_event_at_once_it_is_charged_once(client: Client) -> None:
    event = await confirmed(client)
    by_hand = [client.ask("POST", path(event.partitionkey)) for _ in range(5)]
    by_event = [client.handle_event("pay", event) for _ in range(5)]
    answers, _ = await asyncio.gather(asyncio.gather(*by_hand), asyncio.gather(*by_event))
    assert {answer.status for answer in answers} == {200}
    assert await client.row("SELECT count(*), sum(amount_minor) FROM simulated_gateway.charges") == (1, 4990)
    assert (await events_of(client, event.partitionkey)).count("paid") == 1


async def test_one_that_is_not_to_be_paid_is_refused_with_where_it_is_and_what_can_come(client: Client) -> None:
    pending = (await client.buy(path="async")).body["orderId"]
    refused = await client.ask("POST", path(pending))
    assert (refused.status, refused.body["orderStatus"]) == (409, "PENDING")
    assert refused.body["allowed"] == ["CANCELED", "CONFIRMED"]
    assert await cancel(client, pending) == 200
    refused = await client.ask("POST", path(pending))
    assert (refused.status, refused.body["orderStatus"], refused.body["allowed"]) == (409, "CANCELED", [])
    assert await client.row("SELECT count(*) FROM payments") == (0,)


async def test_declined_it_is_canceled_and_its_unit_returns(client: Client) -> None:
    order_id, before = (await confirmed(client)).partitionkey, await left(client)
    await gateway(client, "decline")
    refused = await client.ask("POST", path(order_id))
    assert (refused.status, refused.body["type"].rsplit("/")[-1]) == (409, "payment-declined")
    assert await state(client, order_id) == ("CANCELED", "DECLINED", "DECLINED")
    assert (await left(client))[0] == before[0] + 1


async def test_a_gateway_that_says_nothing_is_asked_again_with_the_same_key(client: Client) -> None:
    order_id = (await confirmed(client)).partitionkey
    await gateway(client, "timeout")
    assert (await client.ask("POST", path(order_id))).status == 503
    await gateway(client, "approve")
    assert (await client.ask("POST", path(order_id))).status == 200
    assert await client.row("SELECT count(*) FROM simulated_gateway.charges") == (1,)


async def test_money_of_one_canceled_meanwhile_goes_back(client: Client) -> None:
    order_id = (await confirmed(client)).partitionkey
    assert (await client.ask("POST", path(order_id))).status == 200
    assert await cancel(client, order_id) == 200
    await deliver_all(client)
    assert await state(client, order_id) == ("CANCELED", "REFUNDED", "REFUNDED")


async def test_only_its_owner_pays(client: Client, strict: Strict) -> None:
    order_id = (await confirmed(client)).partitionkey
    assert (await strict.ask("POST", path(order_id))).status == 401
    assert (await strict.ask("POST", path(order_id), authorization="Bearer nonsense")).status == 401
    assert (await strict.ask("POST", path(order_id), **strict.as_buyer("8"))).status == 403
    assert await client.row("SELECT count(*) FROM payments") == (0,)
    assert (await strict.ask("POST", path(order_id), **strict.as_buyer("7"))).status == 200


async def test_an_order_that_is_not_there_cannot_be_paid(client: Client) -> None:
    for order_id in ("0192f000-0000-7000-8000-000000000000", "7", "é" * 36):
        assert (await client.ask("POST", path(order_id))).status == 404
