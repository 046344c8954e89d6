"""Everything sleeps; one purchase wakes what it needs, its buyer hears each step, and everything sleeps again."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cluster.shop import Cluster, until

pytestmark = pytest.mark.timeout(600)
USER = 700_001


async def test_a_purchase_from_cold_is_fulfilled_and_its_buyer_hears_every_step(cluster: Cluster) -> None:
    await cluster.at_zero()
    order_id = await cluster.buy_later(USER)
    heard = await asyncio.wait_for(news(cluster, order_id, "FULFILLED"), 90)
    assert [status for status in heard if status != "PENDING"] == ["CONFIRMED", "PAID", "FULFILLED"]
    assert await cluster.status_of(order_id) == "FULFILLED"
    await cluster.at_zero()


async def test_every_path_answers_from_zero_without_a_5xx(cluster: Cluster) -> None:
    await cluster.at_zero()
    paths = ("/", "/api/v1/sales", "/api/v1/sync/stock/1", "/api/v1/async/queue/status", "/api/v1/sync/health")
    paths += ("/api/v1/payments/simulator", "/api/v1/orders/none", "/api/v1/nothing")
    answers = await asyncio.gather(*(cluster.http.get(path) for path in paths))
    answers += await asyncio.gather(
        cluster.http.post("/api/v1/orders/none/cancel"),
        cluster.http.post("/api/v1/sync/purchase", json={"productId": 2, "quantity": 1, "userId": USER}),
    )
    assert {str(answer.request.url.path): answer.status_code for answer in answers if answer.status_code >= 500} == {}
    assert answers[-1].json()["status"] == "CONFIRMED"


async def test_an_unpaid_order_expires_at_its_second_though_nobody_waits_for_it(cluster: Cluster) -> None:
    await cluster.gateway_behaves("timeout")
    order_id = await cluster.buy_later(USER + 1)
    await cluster.becomes(order_id, "CANCELED", 120)
    times: dict[str, datetime] = dict(
        await cluster.rows(
            "SELECT type, time FROM outbox WHERE subject = %s AND type LIKE '%%.order.order.%%'", order_id
        )
    )
    held_for = times["ecommerce.order.order.canceled.v1"] - times["ecommerce.order.order.confirmed.v1"]
    assert timedelta(seconds=30) <= held_for < timedelta(seconds=32)


async def test_a_relay_that_is_killed_is_poked_again_by_who_waited_for_it(cluster: Cluster) -> None:
    order_ids = [await cluster.buy_later(USER + 10 + n) for n in range(5)]
    await until(lambda: cluster.pods_of("relay"), 30, "relay is awake")
    await cluster.kill("serving.knative.dev/service=relay")
    for order_id in order_ids:
        await cluster.becomes(order_id, "FULFILLED", 90)


async def news(cluster: Cluster, order_id: str, last: str) -> list[str]:
    """The statuses that the order's stream tells, up to ``last``; as an EventSource, it comes back when it is cut."""
    buyer = await cluster.row("SELECT buyer_id FROM orders WHERE order_id = %s", order_id)
    session = await cluster.http.post("/api/v1/session", json={"userId": buyer[0]})
    heard: list[str] = []
    last_id: str | None = None
    while last not in heard:
        headers = {"cookie": session.headers["set-cookie"].partition(";")[0]}
        if last_id is not None:
            headers["last-event-id"] = last_id
        async with cluster.http.stream("GET", f"/sse/orders/{order_id}", headers=headers) as stream:
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    last_id = value
                elif name == "data":
                    status = _status_in(json.loads(value))
                    if status and (not heard or heard[-1] != status):
                        heard.append(status)
                if last in heard:
                    break
    return heard


def _status_in(told: Any) -> str | None:
    return told.get("status") if isinstance(told, dict) else None
