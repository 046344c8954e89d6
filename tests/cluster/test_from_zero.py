"""From zero, one purchase wakes the operations that it needs, its buyer gets each step, and all scale to zero again."""

import asyncio
from datetime import datetime, timedelta

import pytest

from tests.cluster.kube import NAMESPACE, run
from tests.cluster.shop import Cluster, until

pytestmark = pytest.mark.timeout(600)
USER = 700_001


async def test_a_purchase_from_cold_is_fulfilled_and_its_buyer_receives_every_step(cluster: Cluster) -> None:
    await cluster.at_zero()
    order_id = await cluster.buy_later(USER)
    received = await asyncio.wait_for(statuses(cluster, order_id, "FULFILLED"), 90)
    assert received == ["PENDING", "CONFIRMED", "PAID", "FULFILLED"]
    assert await cluster.status_of(order_id) == "FULFILLED"
    await cluster.at_zero()


async def test_every_path_answers_from_zero_without_a_5xx(cluster: Cluster) -> None:
    await cluster.at_zero()
    paths = ["/", "/api/v1/sales", "/api/v1/sync/stock/1", "/api/v1/async/queue/status", "/api/v1/sync/health"]
    paths += ("/api/v1/payments/simulator", "/api/v1/orders/none", "/api/v1/nothing")
    answers = await asyncio.gather(*(cluster.http.get(path) for path in paths))
    answers += await asyncio.gather(
        cluster.http.post("/api/v1/orders/none/cancel"),
        cluster.http.post("/api/v1/sync/purchase", json={"productId": 2, "quantity": 1, "userId": USER}),
    )
    assert {str(answer.request.url.path): answer.status_code for answer in answers if answer.status_code >= 500} == {}
    assert answers[-1].json()["status"] == "CONFIRMED"


async def test_metrics_are_for_who_scrapes_a_pod_and_not_for_buyers(cluster: Cluster) -> None:
    await cluster.http.get("/api/v1/orders/none")
    assert (await cluster.http.get("/metrics")).status_code == 404
    pod = (await cluster.pods_of("edge"))[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics"
    assert "http_requests_total" in await run("kubectl", "get", "--raw", path)


async def test_an_unpaid_order_expires_at_its_second_though_no_one_waits_for_it(cluster: Cluster) -> None:
    await cluster.gateway_behaves("timeout")
    order_id = await cluster.buy_later(USER + 1)
    await cluster.becomes(order_id, "CANCELED", 120)
    events = await cluster.rows(
        """SELECT time, convert_from(data, 'UTF8')::json FROM outbox
           WHERE subject = %s AND type LIKE '%%.order.order.c%%ed.v1' ORDER BY position""",
        order_id,
    )
    due = datetime.fromisoformat(next(data["payBy"] for _, data in events if "payBy" in data))
    late = events[-1][0] - due
    assert timedelta(0) <= late < timedelta(seconds=2)


async def test_a_relay_that_is_killed_is_woken_again_by_who_waited_for_it(cluster: Cluster) -> None:
    order_ids = [await cluster.buy_later(USER + 10 + n) for n in range(5)]
    await until(lambda: cluster.pods_of("relay"), 30, "relay is awake")
    await cluster.kill("serving.knative.dev/service=relay")
    for order_id in order_ids:
        await cluster.becomes(order_id, "FULFILLED", 90)


@pytest.mark.timeout(900)
async def test_twenty_thousand_buyers_for_a_thousand_units_from_zero_and_back(cluster: Cluster) -> None:
    """Runs last in this module: test_receipt.py starts at zero, where this test ends."""
    await cluster.at_zero()
    seen: set[str] = set()
    looking = asyncio.create_task(operations_seen(cluster, seen))
    report = await cluster.sale(
        "--buyers", "20000", "--units", "1000", "--connections", "500", "--settle-timeout", "300"
    )
    assert "units add up" in report
    await cluster.audited()
    await cluster.at_zero()
    looking.cancel()
    await asyncio.wait([looking])
    assert {"edge", "checkout", "pay", "fulfil", "notify", "project-orders", "relay"} <= seen


async def operations_seen(cluster: Cluster, seen: set[str]) -> None:
    while True:
        seen |= await cluster.awake()
        await asyncio.sleep(1)


async def statuses(cluster: Cluster, order_id: str, last: str) -> list[str]:
    """Return the news of the order's stream, up to ``last``."""
    received: list[str] = []
    async for reported in cluster.news(f"/sse/orders/{order_id}", await cluster.cookie_of(USER)):
        if reported.event in ("snapshot", "order") and reported.data["status"] not in received:
            received.append(reported.data["status"])
        if last in received:
            break
    return received
