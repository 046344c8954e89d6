"""Provides each conformance test with a broker under test, and servers for subscribers and dead letters."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from tests.conformance.broker import BROKER, SINK, BrokerUnderTest, EmbeddedBroker, Manifest
from tests.conformance.cluster import ClusterBroker, NoCluster, Run
from tests.conformance.subscriber import Subscriber
from tests.kubectl import add_cluster_state

Apply = Callable[..., Awaitable[None]]
Send = Callable[[CloudEvent], Awaitable[None]]


REQUIRED = os.environ.get("PULSECART_CLUSTER") == "1"
# CI plays the cluster's part in a stage of its own, where it may not be skipped
FLAVOURS = ["local", "cluster"] if REQUIRED or not os.environ.get("PULSECART_CI") else ["local"]
if os.environ.get("CONFORMANCE_JETSTREAM") == "1":
    FLAVOURS.append("jetstream")
if "cluster" not in FLAVOURS:
    collect_ignore = ["test_event_policy.py"]  # the local broker has no identities


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    used = getattr(item, "funcargs", {}).get("broker")
    if isinstance(used, ClusterBroker):
        add_cluster_state(report, used.namespace, "brokers,triggers,subscriptions,inmemorychannels")
    return report


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Provide the cluster of KUBECONFIG; without it, skip its tests, or fail them if they are required."""
    try:
        made = Run()
    except NoCluster as error:
        refuse = pytest.fail if REQUIRED else pytest.skip
        refuse(f"no cluster: set KUBECONFIG to one with Knative Eventing, see docs/conformance.md ({error})")
    yield made
    made.close()


@pytest.fixture(params=FLAVOURS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerUnderTest]:
    made: BrokerUnderTest
    if request.param == "local":
        made = EmbeddedBroker(request.getfixturevalue("settings"), tmp_path / "eventing")
    else:
        made = request.getfixturevalue("run").broker(request.param)
    yield made
    await made.stop()


@pytest.fixture
async def subscriber(broker: BrokerUnderTest) -> AsyncIterator[Subscriber]:
    """Provide the subscriber of every Trigger, each at its own path."""
    async with Subscriber(broker.host) as server:
        yield server


@pytest.fixture
async def sink(broker: BrokerUnderTest) -> AsyncIterator[Subscriber]:
    """Provide the server that receives dead letters."""
    async with Subscriber(broker.host) as server:
        yield server


@pytest.fixture
def apply(broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber) -> Apply:
    """Provide a function that applies Triggers by name, on a broker with two quick retries, and other manifests."""

    async def make(*others: Manifest, **triggers: dict[str, Any]) -> None:
        manifests = [broker_of(sink)]
        for name, spec in triggers.items():
            if "delivery" in spec:
                spec["delivery"].setdefault("deadLetterSink", {"uri": sink.url(name)})
            manifests.append(_trigger(name, subscriber.url(name), spec))
        await broker.apply([*manifests, *others])

    return make


@pytest.fixture
def send(broker: BrokerUnderTest) -> Send:
    """Provide a function that sends an event to the broker and requires 202."""

    async def post(event: CloudEvent) -> None:
        status = await broker.send(*cloudevents.binary(event))
        assert status == 202

    return post


def broker_of(sink: Subscriber) -> Manifest:
    """Return a Broker with two quick retries and this dead letter sink."""
    delivery = {
        "deadLetterSink": {"uri": sink.url(SINK)},
        "retry": 2,
        "backoffPolicy": "exponential",
        "backoffDelay": "PT0.05S",
    }
    metadata = {"name": BROKER, "annotations": {"eventing.knative.dev/broker.class": "MTChannelBasedBroker"}}
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": metadata,
        "spec": {"delivery": delivery},
    }


def _trigger(name: str, uri: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": name},
        "spec": {"broker": BROKER, "subscriber": {"uri": uri}, **spec},
    }
