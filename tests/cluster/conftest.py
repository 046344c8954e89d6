"""Provides the shop that tests/cluster/up deployed on a real cluster: its gateway, its tables, kubectl."""

import os
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.cluster.kube import NAMESPACE
from tests.cluster.shop import Cluster, gateway_of
from tests.kubectl import add_cluster_state

HERE = Path(__file__).parent
REQUIRED = os.environ.get("PULSECART_CLUSTER") == "1"
if not REQUIRED and os.environ.get("PULSECART_CI"):
    collect_ignore_glob = ["test_*.py"]  # CI plays these in a stage of their own
collect_ignore = []
if os.environ.get("CLUSTER_IDENTITIES") != "1":
    collect_ignore.append("test_relay_identity.py")  # it deploys the shop twice: asked for by name
if os.environ.get("CLUSTER_LONG") != "1":
    collect_ignore.append("test_webhooks_far.py")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of the deployed shop, which run one after another."""
    for item in items:
        if item.path.parent == HERE and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("shop")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_cluster_state(report, NAMESPACE, "ksvc,triggers,pods")
    return report


@pytest.fixture(scope="session", autouse=True)
def required() -> None:
    if not REQUIRED:
        pytest.skip(
            "no cluster: deploy with tests/cluster/up, then set KUBECONFIG and PULSECART_CLUSTER=1 (docs/kubernetes.md)"
        )


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Provide the shop; after the test, replay its dead letters and require a clean audit."""
    url, host = await gateway_of("edge")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, headers={"host": host}, timeout=60, limits=limits, trust_env=False
    ) as http:
        shop = Cluster(url, host, http)
        await shop.gateway_behaves("approve")
        yield shop
        await shop.mended()
