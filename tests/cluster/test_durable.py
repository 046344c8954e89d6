"""After the loss of a channel's dispatcher JetStream loses no event; in memory, a POST fails and is repeated."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pulsecart.runtime.event import CloudEvent, new_id
from pulsecart.serving import cloudevents
from tests.cluster.kube import kubectl, listed
from tests.cluster.shop import until
from tests.conformance.broker import BROKER, Manifest
from tests.conformance.cluster import ClusterBroker, Run
from tests.conformance.subscriber import Subscriber

pytestmark = pytest.mark.timeout(420)
CHANNELS = {"jetstream": "nats-jetstream-channel", "cluster": "in-memory-channel"}
SYSTEM = "knative-eventing"


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    made = Run()
    yield made
    made.close()


async def test_over_jetstream_no_accepted_event_is_lost_with_the_dispatcher(run: Run) -> None:
    broker = run.broker("jetstream")
    async with Subscriber(broker.host) as subscriber:
        await broker.apply([_broker(), _trigger(subscriber.url("listener"))])
        subscriber.answer = 503  # nothing is done before the dispatcher dies
        sent = [CloudEvent(id=new_id(), source="/durable", type="durable.v1") for _ in range(50)]
        for event in sent:
            assert await broker.send(*cloudevents.binary(event)) == 202
        await subscriber.until(lambda got: len(got) >= 1)
        await dispatcher_dies("jetstream")
        tried, subscriber.answer = len(subscriber.got), 204
        wanted = {event.id for event in sent}
        await subscriber.until(lambda got: wanted <= {one.event.id for one in got[tried:]}, 120)
    await broker.stop()


@pytest.mark.exclusive
async def test_in_memory_the_senders_post_fails_with_the_dispatcher_and_is_repeated(run: Run) -> None:
    broker = run.broker("cluster")
    async with Subscriber(broker.host) as subscriber:
        await broker.apply([_broker(), _trigger(subscriber.url("listener"))])
        subscriber.hold = asyncio.Event()
        event = CloudEvent(id=new_id(), source="/durable", type="durable.v1")
        sending = asyncio.create_task(_sent(broker, event))
        await subscriber.until(lambda got: len(got) == 1)
        await dispatcher_dies("cluster")
        assert not await sending, "the sender is not told that it was done"
        subscriber.hold.set()
        await until(lambda: _sent(broker, event), 90, "the same event is accepted")
        await subscriber.until(lambda got: len(got) >= 2)
    await broker.stop()


async def dispatcher_dies(flavour: str) -> None:
    """Kill the dispatcher (SIGKILL) and wait for its replacement."""
    selector = f"messaging.knative.dev/role=dispatcher,messaging.knative.dev/channel={CHANNELS[flavour]}"
    before = {pod["metadata"]["uid"] for pod in await listed("pods", selector, SYSTEM)}
    assert before, f"no pod has {selector}"
    await kubectl("delete", "pod", "-l", selector, "--grace-period=0", "--force", namespace=SYSTEM)

    async def another() -> bool:
        pods = await listed("pods", selector, SYSTEM)
        return any(pod["metadata"]["uid"] not in before and _is_ready(pod) for pod in pods)

    await until(another, 90, "another dispatcher is Ready")


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


async def _sent(broker: ClusterBroker, event: CloudEvent) -> bool:
    try:
        return await broker.send(*cloudevents.binary(event)) == 202
    except httpx.HTTPError:
        return False


def _broker() -> Manifest:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {"name": BROKER},
        "spec": {"delivery": {"retry": 12, "backoffPolicy": "linear", "backoffDelay": "PT1S"}},
    }


def _trigger(uri: str) -> Manifest:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": "listener"},
        "spec": {"broker": BROKER, "filter": {"attributes": {"type": "durable.v1"}}, "subscriber": {"uri": uri}},
    }
