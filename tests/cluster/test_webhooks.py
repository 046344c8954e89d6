"""A partner's webhooks on a cluster: delivered from zero, retried at their second, and nothing runs afterwards."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from os import environ
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from pulsecart.admin.which_shop import DATA
from tests.cluster.kube import listed
from tests.cluster.shop import Cluster, until
from tests.receivers import Behaviour, Receiver, answers, in_turn, receiving
from tests.tokens import bearer

pytestmark = pytest.mark.timeout(400)
USER = 730_001
PAID = "ecommerce.order.order.paid.v1"
RETRY_S = 20


async def node_address() -> str:
    """Return this machine's address for pods."""
    (node, *_) = await listed("nodes")
    addresses = node["status"]["addresses"]
    return environ.get("CONFORMANCE_HOST") or next(a["address"] for a in addresses if a["type"] == "InternalIP")


class Partner:
    """Subscribes a receiver as one partner, and reads its messages."""

    def __init__(self, cluster: Cluster) -> None:
        self._http = cluster.http
        self._token = bearer(DATA, f"partner-{uuid4().hex[:8]}", "partner")

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._token
        return await self._http.request(method, path, json=body, headers=sent)

    @asynccontextmanager
    async def subscribed(self, receiver: Receiver, **given: Any) -> AsyncIterator[dict[str, Any]]:
        """Hold a subscription; left behind, it would keep webhook-deliver awake in the tests that follow."""
        body = {"url": receiver.url(), "eventTypes": [PAID], **given}
        made = await self.ask("POST", "/api/v1/webhook-subscriptions", body, idempotency_key=str(uuid4()))
        assert made.status_code == 201, made.text
        try:
            yield made.json()
        finally:
            removed = await self.ask("DELETE", made.headers["location"], if_match="*")
            assert removed.status_code == 204, removed.text


def about(order_id: str) -> Callable[[Receiver], bool]:
    """Return a condition: the receiver has a POST about this order."""
    return lambda receiver: any(got.method == "POST" and order_id.encode() in got.body for got in receiver.got)


def refusing_first() -> Behaviour:
    """Answer OPTIONS and the first POST with 500, everything later with 204."""
    return in_turn(answers(500), answers(500), answers(204))


async def test_a_purchase_reaches_the_partner_from_zero_signed_and_everything_scales_down_again(
    cluster: Cluster,
) -> None:
    partner = Partner(cluster)
    async with (
        receiving(answers(204), address=await node_address()) as receiver,
        partner.subscribed(receiver) as subscription,
    ):
        await cluster.at_zero()
        order_id = await cluster.buy_later(USER)
        await receiver.until(about(order_id), 90)
        (got,) = [got for got in receiver.got if got.method == "POST" and order_id.encode() in got.body]
        event = Webhook(subscription["secret"]).verify(got.body, got.headers)
        assert (event["type"], event["data"]["orderId"]) == (PAID, order_id)
        await cluster.at_zero()


async def test_a_retry_comes_at_its_second(cluster: Cluster) -> None:
    await is_retried_on_time(cluster, RETRY_S)


async def is_retried_on_time(cluster: Cluster, delay_s: int, *, from_zero: bool = False) -> None:
    """Let the first attempt fail, and check that the second one comes when it is due, at most 2 s later."""
    partner = Partner(cluster)
    async with (
        receiving(refusing_first(), address=await node_address()) as receiver,
        partner.subscribed(receiver, scheduleS=[delay_s]) as subscription,
    ):
        await cluster.buy_later(USER + 1)

        async def attempts() -> list[dict[str, Any]]:
            path = f"/api/v1/webhook-subscriptions/{subscription['subscriptionId']}/attempts"
            found = (await partner.ask("GET", path)).json()["attempts"]
            return [one for one in found if one.get("endedAt")]

        await until(attempts, 90, "the first attempt has ended")
        if from_zero:
            await cluster.at_zero()

        async def twice() -> list[dict[str, Any]] | None:
            found = await attempts()
            return found if len(found) == 2 else None

        second, first = await until(twice, delay_s * 1.1 + 60, "the second attempt has ended") or []
        due = datetime.fromisoformat(first["nextTryAt"])
        late = datetime.fromisoformat(second["beganAt"]) - due
        assert timedelta(0) <= late < timedelta(seconds=2), json.dumps([first, second])
        assert (first["responseStatus"], second["responseStatus"]) == (500, 204)
