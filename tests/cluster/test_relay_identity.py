"""With sender authentication in Knative Eventing, the shop's broker accepts events from the relay alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import randrange

import pytest

from tests.cluster.kube import NAMESPACE, kubectl, listed, run
from tests.cluster.shop import Cluster, until
from tests.cluster.test_bad_input import deployed, image
from tests.cluster.test_forged import order, to_broker, traces
from tests.conformance.identities import audience_of, authenticated, token_of

pytestmark = [pytest.mark.timeout(420), pytest.mark.exclusive]
HERE = Path(__file__).parent
ADDED = ("eventpolicies.eventing.knative.dev/from-the-relay", "serviceaccounts/relay")
AUDIENCE = audience_of(NAMESPACE, "default")


@pytest.fixture
async def guarded(cluster: Cluster) -> AsyncIterator[Cluster]:
    """Provide the shop with k8s/components/event-policy; restore the deployment of tests/cluster/up afterwards."""
    (broker,) = await listed("brokers")
    if "natjsm" in broker["spec"]["config"]["name"]:
        pytest.skip("the JetStream channel shows Knative's filter no identity: docs/kubernetes.md")
    try:
        with authenticated():
            try:
                await deploy("overlay-event-policy")
                yield cluster
            finally:
                await kubectl("delete", "--ignore-not-found", *ADDED)
    finally:
        await deploy("overlay")


async def deploy(overlay: str) -> None:
    """Deploy the overlay with the image that is already deployed."""
    output = await deployed("--overlay", str(HERE / overlay), "--image", await image())
    assert output.status == 0, output.err


async def test_events_reach_operations_by_the_relay_alone_and_others_end_at_the_broker(guarded: Cluster) -> None:
    (broker,) = await listed("brokers")
    assert broker["status"]["address"]["audience"] == AUDIENCE, "what the relay's token is made for"
    assert [one["name"] for one in broker["status"]["policies"]] == ["from-the-relay"]

    await guarded.becomes(await guarded.buy_later(randrange(10**9)), "FULFILLED")

    forged = order()
    operations = token_of("operation", NAMESPACE, AUDIENCE)  # the account of every other pod
    assert await to_broker(guarded, forged) == 401
    assert await to_broker(guarded, forged, authorization=f"Bearer {operations}") == 403
    assert await traces(guarded, forged) == []
    assert await guarded.rows("SELECT trigger FROM dead_letters WHERE event_id = %s", forged.id) == []

    await ticks_wake("open-sales", guarded)


async def ticks_wake(operation: str, cluster: Cluster) -> None:
    """Check that a PingSource, which bypasses the broker, needs no policy."""

    async def asleep() -> bool:
        return not await cluster.pods_of(operation)

    await until(asleep, 90, f"{operation} is at zero")
    (sweep,) = [one for one in await listed("pingsources") if one["metadata"]["name"] == f"{operation}-sweep"]
    often = {
        "apiVersion": sweep["apiVersion"],
        "kind": "PingSource",
        "metadata": {"name": "often"},
        "spec": {"schedule": "* * * * * *", "sink": sweep["spec"]["sink"]},
    }
    await run("kubectl", "-n", NAMESPACE, "apply", "-f", "-", given=json.dumps(often))
    try:
        await until(lambda: cluster.pods_of(operation), 60, f"a tick wakes {operation}")
    finally:
        await kubectl("delete", "pingsource", "often")
