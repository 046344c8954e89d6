"""cancel: releases an order's units once, at its owner's request."""

import asyncio

from pulsecart.admin.demo import GOODS
from tests.client import Client
from tests.functions.conftest import Strict

RELEASED = "ecommerce.inventory.stock.adjusted.v1"


async def test_a_confirmed_order_is_canceled_and_its_units_and_the_buyer_s_allowance_come_back(client: Client) -> None:
    sold = (await client.buy(user=7, qty=2)).body
    canceled = await client.ask("POST", f"/api/v1/orders/{sold['orderId']}/cancel")
    assert (canceled.status, canceled.body["status"], canceled.body["reason"]) == (200, "CANCELED", "BUYER")
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)
    assert await client.row("SELECT units FROM buyer_units") == (0,)
    back = (await client.log(RELEASED))[-1]
    assert back.extensions["stockreason"] == "released"
    assert str(sold["orderId"]).encode() in (back.data or b"")


async def test_the_log_says_what_the_order_was_before(client: Client) -> None:
    sold = (await client.buy()).body
    await client.ask("POST", f"/api/v1/orders/{sold['orderId']}/cancel", correlation_id="why")
    (event,) = await client.log("ecommerce.order.order.canceled.v1")
    assert b'"previousStatus":"CONFIRMED"' in (event.data or b"")
    assert (event.subject, event.sequence) == (sold["orderId"], 3)


async def test_a_pending_order_is_canceled_without_units(client: Client) -> None:
    order_id = (await client.buy(path="async")).body["orderId"]
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)
    assert [event.extensions["stockreason"] for event in await client.log(RELEASED)] == ["initial"] * len(GOODS)


async def test_canceling_again_is_the_same_answer_and_gives_nothing_back(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    answers = await asyncio.gather(*(client.ask("POST", f"/api/v1/orders/{order_id}/cancel") for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.body == answers[0].body for answer in answers)
    assert len(await client.log("ecommerce.order.order.canceled.v1")) == 1
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)


async def test_a_fulfilled_order_stays_and_the_answer_says_why(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    for name, operation in (("confirmed", "pay"), ("paid", "fulfil")):
        for event in await client.log(f"ecommerce.order.order.{name}.v1"):
            assert await client.handle_event(operation, event) == 204
    refused = await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    assert (refused.status, refused.body["type"].rsplit("/")[-1]) == (409, "illegal-step")
    assert (refused.body["orderId"], refused.body["orderStatus"]) == (order_id, "FULFILLED")


async def test_an_order_that_is_not_there_is_404_whatever_its_id_looks_like(client: Client) -> None:
    for order_id in ("0192f000-0000-7000-8000-000000000000", "7", "-" * 4 + "a" * 32, "' OR 1=1 --", "é" * 36):
        assert (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 404


async def test_only_its_owner_may_cancel(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7, path="async")).body["orderId"]
    path = f"/api/v1/orders/{order_id}/cancel"
    assert (await strict.ask("POST", path)).status == 401
    assert (await strict.ask("POST", path, authorization="Bearer nonsense")).status == 401
    assert (await strict.ask("POST", path, **strict.as_buyer("8"))).status == 403
    assert await client.row("SELECT status FROM orders") == ("PENDING",)
    assert (await strict.ask("POST", path, **strict.as_buyer("7"))).status == 200
    assert (await strict.ask("POST", path, **strict.as_buyer("7"))).body["status"] == "CANCELED"


async def test_a_buyer_cancels_while_it_is_pending_and_an_admin_later_too(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    path = f"/api/v1/orders/{order_id}/cancel"
    late = await strict.ask("POST", path, **strict.as_buyer("7"))
    assert (late.status, late.body["type"].rsplit("/")[-1]) == (403, "not-pending")
    assert await client.row("SELECT status FROM orders") == ("CONFIRMED",)
    assert (await strict.ask("POST", path, **strict.signed("an-admin", "admin"))).body["status"] == "CANCELED"
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)


async def test_in_the_demo_too_a_signed_in_buyer_cancels_only_their_own(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    other = await client.ask("POST", f"/api/v1/orders/{order_id}/cancel", **strict.as_buyer("8"))
    assert other.status == 403
