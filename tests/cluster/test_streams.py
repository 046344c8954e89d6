"""A browser's streams survive a cluster's time limits and a new revision of the edge."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.cluster.kube import kubectl, listed
from tests.cluster.shop import Cluster, StreamEvent, until

pytestmark = pytest.mark.timeout(400)
USER = 720_001
LIFE_S = "6"
STEPS = ["PENDING", "CONFIRMED", "CANCELED"]


async def test_an_orders_streams_go_on_without_gap_or_repetition(cluster: Cluster) -> None:
    await cluster.becomes(await cluster.buy_later(USER), "FULFILLED")  # notify is awake: news come within a second
    await cluster.gateway_behaves("timeout")  # it stays CONFIRMED until it expires: a minute of stream
    await edge_with(cluster, STREAM_LIFE_S=LIFE_S)
    await until(lambda: _ends_soon(cluster), 120, "streams end after STREAM_LIFE_S: the gateway knows the new revision")
    order_id = await cluster.buy_later(USER)
    cookie = await cluster.cookie_of(USER)
    async with asyncio.timeout(150), asyncio.TaskGroup() as tasks:
        by_events = tasks.create_task(_until_canceled(cluster.news(f"/sse/orders/{order_id}", cookie)))
        by_socket = tasks.create_task(_until_canceled(cluster.socket_news(order_id, cookie)))
        await cluster.becomes(order_id, "CONFIRMED")
        await edge_with(cluster, STREAM_LIFE_S=LIFE_S, LOG_LEVEL="WARNING")
        assert await cluster.status_of(order_id) == "CONFIRMED", "the roll-out was over before the streams"
    for received in (by_events.result(), by_socket.result()):
        _is_whole(received)
    assert min(cluster.streams, cluster.sockets) > 3
    await edge_with(cluster)


async def _ends_soon(cluster: Cluster) -> bool:
    try:
        async with asyncio.timeout(2 * float(LIFE_S)), cluster.http.stream("GET", "/sse/stock/2") as stream:
            async for _ in stream.aiter_bytes():
                pass
    except TimeoutError:
        return False
    return True


def _is_whole(received: list[StreamEvent]) -> None:
    first = next(at for at, reported in enumerate(received) if reported.event == "snapshot")
    later = received[first + 1 :]
    assert {reported.event for reported in later} <= {"order", "payment"}, received
    statuses = [received[first].data["status"]] + [
        reported.data["status"] for reported in later if reported.event == "order"
    ]
    assert statuses == STEPS[-len(statuses) :], received
    numbers = [int(reported.id.partition("-")[0]) for reported in received[first:]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), received


async def _until_canceled(news: AsyncIterator[StreamEvent]) -> list[StreamEvent]:
    received = []
    async for reported in news:
        received.append(reported)
        if reported.data.get("status") == "CANCELED":
            break
    return received


async def edge_with(cluster: Cluster, **settings: str) -> None:
    """Roll out a new revision of the edge and wait until it serves."""
    env = [{"name": name, "value": value} for name, value in settings.items()]
    change = [{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": env}]
    await kubectl("patch", "ksvc", "edge", "--type=json", "-p", json.dumps(change))

    async def serves() -> bool:
        (service,) = [found for found in await listed("ksvc") if found["metadata"]["name"] == "edge"]
        status = service["status"]
        if status["observedGeneration"] != service["metadata"]["generation"]:
            return False
        await cluster.http.get("/healthz")
        newest = status["latestCreatedRevisionName"]
        pods = {pod["metadata"]["labels"]["serving.knative.dev/revision"] for pod in await cluster.pods_of("edge")}
        return newest in pods and [part["revisionName"] for part in status["traffic"]] == [newest]

    await until(serves, 120, "the edge's new revision serves")
