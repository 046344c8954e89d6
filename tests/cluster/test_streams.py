"""A browser's stream survives what a cluster does to it: time limits, and a new revision of the edge."""

import asyncio
import json

import pytest

from tests.cluster.shop import Cluster, Told, kubectl, listed, until

pytestmark = pytest.mark.timeout(400)
USER = 720_001
LIFE_S = "6"


async def test_an_orders_stream_goes_on_without_gap_or_repetition(cluster: Cluster) -> None:
    await cluster.becomes(await cluster.buy_later(USER), "FULFILLED")  # notify is awake: news come within a second
    await cluster.gateway_behaves("timeout")  # it stays CONFIRMED until it expires: half a minute of stream
    await edge_with(cluster, STREAM_LIFE_S=LIFE_S)
    order_id = await cluster.buy_later(USER)
    rolled: asyncio.Task[None] | None = None
    heard: list[Told] = []
    async with asyncio.timeout(120):
        async for told in cluster.news(f"/sse/orders/{order_id}", await cluster.cookie_of(USER)):
            heard.append(told)
            if rolled is None and told.data.get("status") == "CONFIRMED":
                rolled = asyncio.create_task(edge_with(cluster, STREAM_LIFE_S=LIFE_S, LOG_LEVEL="WARNING"))
            if told.data.get("status") == "CANCELED":
                break
    assert rolled is not None
    assert rolled.done(), "the roll-out was over before the stream"
    first = next(at for at, told in enumerate(heard) if told.event == "snapshot")
    later = heard[first + 1 :]
    assert {told.event for told in later} <= {"order", "payment"}, heard
    statuses = [heard[first].data["status"]] + [told.data["status"] for told in later if told.event == "order"]
    assert statuses == ["PENDING", "CONFIRMED", "CANCELED"][-len(statuses) :]
    numbers = [int(told.id.partition("-")[0]) for told in heard[first:]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert cluster.streams > 3
    await edge_with(cluster)


async def edge_with(cluster: Cluster, **settings: str) -> None:
    """A new revision of the edge, as a roll-out makes it; returns when it serves."""
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
