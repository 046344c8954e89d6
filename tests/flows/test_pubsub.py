"""A purchase at a running shop reaches Pub/Sub's subscribers in its order."""

import json
from collections.abc import Callable

import httpx

from pulsecart.runtime.event import Message
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated, OrderFulfilled, OrderPaid
from tests.local.running_shop import RunningShop
from tests.pubsub import PubSub

STEPS: tuple[type[Message], ...] = (OrderCreated, OrderConfirmed, OrderPaid, OrderFulfilled)


def buy(shop: RunningShop) -> str:
    reply = httpx.post(f"{shop.url}/api/v1/sync/purchase", json={"productId": 1, "quantity": 1, "userId": 7})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["orderId"])


def test_each_step_of_a_purchase_is_published_on_its_topic(
    start_shop: Callable[..., RunningShop], pubsub: PubSub
) -> None:
    subscriptions = [pubsub.subscribe(pubsub.topic(f"shop-{step.TYPE}"), f"sub-{step.__name__}") for step in STEPS]
    shop = start_shop(
        PROFILES="pubsub",
        PUBSUB_PROJECT=pubsub.project,
        PUBSUB_EMULATOR_HOST=pubsub.host,
        PUBSUB_TOPIC_PREFIX="shop-",
        PUBSUB_CREATE_TOPICS="true",
    )
    order_id = buy(shop)
    for step, subscription in zip(STEPS, subscriptions, strict=True):
        (got,) = pubsub.receive(subscription, 1)
        assert (got.key, got.attributes["ce-type"], json.loads(got.data)["orderId"]) == (order_id, step.TYPE, order_id)
