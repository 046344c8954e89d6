"""A browser's stream survives what a cluster does to it: time limits, and a new revision of the edge."""

import asyncio
import json

import pytest

from tests.cluster.shop import Cluster, Told, kubectl, listed, until

pytestmark = pytest.mark.timeout(400)
USER = 720_001
LIFE_S = "6"


async def test_an_orders_stream_goes_on_without_gap_or_repetition(cluster: Cluster) -> None:
    await cluster.gateway_behaves("timeout")  # it stays CONFIRMED until it expires: half a minute of stream
    await edge_with(STREAM_LIFE_S=LIFE_S)
    order_id = await cluster.buy_later(USER)
    rolled: asyncio.Task[None] | None = None
    heard: list[Told] = []
    async with asyncio.timeout(120):
        async for told in cluster.news(f"/sse/orders/{order_id}", await cluster.cookie_of(USER)):
            heard.append(told)
            if rolled is None and told.data.get("status") == "CONFIRMED":
                rolled = asyncio.create_task(edge_with(STREAM_LIFE_S=LIFE_S, LOG_LEVEL="WARNING"))
            if told.data.get("status") == "CANCELED":
                break
    assert rolled is not None
    await rolled
    assert {told.event for told in heard[1:]} <= {"order", "payment"}, "the snapshot at the beginning is the only one"
    statuses = [told.data["status"] for told in heard if told.event != "payment"]
    assert statuses == ["PENDING", "CONFIRMED", "CANCELED"]
    assert [told.id for told in heard] == sorted({told.id for told in heard}, key=lambda id: int(id.split("-")[0]))
    assert cluster.streams > 2
    await edge_with()


async def edge_with(**settings: str) -> None:
    """A new revision of the edge, as a roll-out makes it; returns when it is Ready."""
    env = [{"name": name, "value": value} for name, value in settings.items()]
    change = [{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": env}]
    await kubectl("patch", "ksvc", "edge", "--type=json", "-p", json.dumps(change))

    async def ready() -> bool:
        (service,) = [found for found in await listed("ksvc") if found["metadata"]["name"] == "edge"]
        status = service["status"]
        same = status["observedGeneration"] == service["metadata"]["generation"]
        return bool(same and status["latestReadyRevisionName"] == status["latestCreatedRevisionName"])

    await until(ready, 90, "the edge's new revision is Ready")
