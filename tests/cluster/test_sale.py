"""A flash sale sells exactly the available units while pods are killed; test_from_zero.py has a large one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.cluster.kube import kubectl
from tests.cluster.shop import Cluster, until

pytestmark = pytest.mark.timeout(900)
SMALL = ("--buyers", "4000", "--units", "300", "--connections", "200", "--settle-timeout", "240")


async def gate(cluster: Cluster) -> None:
    await cluster.kill("app.kubernetes.io/name=valkey")


async def checkouts(cluster: Cluster) -> None:
    await cluster.kill("serving.knative.dev/service=checkout")


async def dispatcher(cluster: Cluster) -> None:
    """Kill the in-memory channel's dispatcher: its events are lost, the relay's request fails, and is sent again."""
    await cluster.kill("messaging.knative.dev/role=dispatcher", "knative-eventing")
    await cluster.kill("eventing.knative.dev/brokerRole=filter", "knative-eventing")


async def a_new_revision(cluster: Cluster) -> None:
    change = '{"spec": {"template": {"metadata": {"annotations": {"pulsecart.dev/rolled": "%s"}}}}}'
    old = (await kubectl("get", "ksvc", "checkout", "-o", "jsonpath={.status.latestReadyRevisionName}")).strip()
    await kubectl("patch", "ksvc", "checkout", "--type=merge", "-p", change % old)


@pytest.mark.parametrize(
    "strike", [gate, checkouts, pytest.param(dispatcher, marks=pytest.mark.exclusive), a_new_revision]
)
async def test_a_sale_survives(cluster: Cluster, strike: Callable[[Cluster], Awaitable[None]]) -> None:
    playing = asyncio.create_task(cluster.sale(*SMALL))
    sold = await cluster.row("SELECT count(*) FROM orders")

    async def under_way() -> bool:
        now = await cluster.row("SELECT count(*) FROM orders")
        return now[0] >= sold[0] + 20 or playing.done()

    await until(under_way, 120, "the sale is under way")
    await strike(cluster)
    assert "units add up" in await playing
