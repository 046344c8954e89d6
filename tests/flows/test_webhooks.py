"""A partner subscribes, a buyer purchases, and the order's events reach the partner's endpoint, signed and in order."""

import asyncio
import json
from collections.abc import Callable

import httpx
from standardwebhooks import Webhook

from tests.local.running_shop import RunningShop
from tests.receivers import Receiver, answers, in_turn, receiving
from tests.tokens import bearer

ORDER = "ecommerce.order.order"


def of_orders(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["type"] for got in receiver.got if got.method == "POST"]


async def test_a_purchase_reaches_the_partner_that_subscribed(start_shop: Callable[..., RunningShop]) -> None:
    shop = await asyncio.to_thread(lambda: start_shop(OUTGOING_ALLOW="127.0.0.1"))
    partner = bearer(shop.data, "p-1", "partner")
    kinds = [f"{ORDER}.{step}.v1" for step in ("created", "confirmed", "paid")]
    async with (
        receiving(in_turn(answers(), answers(503), answers())) as receiver,
        httpx.AsyncClient(base_url=shop.url) as http,
    ):
        body = {"url": receiver.url(), "eventTypes": kinds, "ordered": True, "scheduleS": [1]}
        made = await http.post("/api/v1/webhook-subscriptions", json=body, headers=partner)
        assert made.status_code == 201, made.text
        bought = await http.post("/api/v1/sync/purchase", json={"productId": 1, "quantity": 1, "userId": 7})
        assert bought.status_code == 200, bought.text
        await receiver.until(lambda one: len(of_orders(one)) >= 4)
    assert [got.method for got in receiver.got] == ["OPTIONS"] + ["POST"] * 4
    assert of_orders(receiver) == [kinds[0], kinds[0], *kinds[1:]], "in order, although the first had to be repeated"
    secret = made.json()["secret"]
    for got in receiver.got[1:]:
        document = Webhook(secret).verify(got.body, got.headers)
        assert document["subject"] == bought.json()["orderId"]
