"""
With sender authentication in Knative Eventing, an EventPolicy admits one service account, as
k8s/components/event-policy does for the relay; the ingress rejects the events of all others.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from tests.conformance.asked import event, quick
from tests.conformance.broker import BROKER
from tests.conformance.cluster import ClusterBroker, Run, kubectl
from tests.conformance.conftest import Apply, broker_of
from tests.conformance.differences import differs
from tests.conformance.identities import audience_of, authenticated, policy, subject, token_of
from tests.conformance.subscriber import Subscriber

pytestmark = [pytest.mark.timeout(300), pytest.mark.exclusive]
RELAY, OTHER = "relay", "other"


@pytest.fixture(scope="module")
def elsewhere(run: Run) -> Iterator[str]:
    """Provide a second namespace, with a service account of the relay's name."""
    namespace = f"{run.namespace}-elsewhere"
    kubectl("create", "namespace", namespace)
    kubectl("create", "serviceaccount", RELAY, "-n", namespace)
    yield namespace
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def authenticating(run: Run) -> AsyncIterator[None]:
    """Enable sender authentication; at the end, wait until an event without a token is delivered again."""
    for account in (RELAY, OTHER):
        kubectl("create", "serviceaccount", account, "-n", run.namespace)
    with authenticated():
        yield
    after = run.broker("cluster")
    async with Subscriber(after.host) as unused:
        await after.apply([broker_of(unused)])
    await after.stop()


@pytest.fixture
async def broker(run: Run, authenticating: None) -> AsyncIterator[ClusterBroker]:
    """Provide a broker whose requests have the relay's token, unless the test gives another one."""
    made = run.broker("cluster")
    made.shown = bearer(token_of(RELAY, run.namespace, audience_of(run.namespace, made.named(BROKER))))
    yield made
    await made.stop()


@pytest.fixture
async def guarded(broker: ClusterBroker, apply: Apply) -> ClusterBroker:
    """Apply a policy that admits the relay alone, before its Broker, and a Trigger ``t``."""
    lets_in = policy("from-the-relay", broker.named(BROKER), subject(RELAY, broker.namespace))
    await broker.ready([lets_in])
    await apply(t=quick())
    return broker


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


async def sent(broker: ClusterBroker, token: str, event: CloudEvent) -> int:
    """Send an event with this token, none if it is empty; return the status."""
    relays, broker.shown = broker.shown, {}
    headers, body = cloudevents.binary(event)
    status = await broker.send(headers | bearer(token), body)
    broker.shown = relays
    return status


async def assert_only(genuine: CloudEvent, broker: ClusterBroker, subscriber: Subscriber, sink: Subscriber) -> None:
    """Check that the relay's next event is the first to arrive anywhere: no earlier event was delivered."""
    assert await broker.send(*cloudevents.binary(genuine)) == 202
    await subscriber.until(lambda got: len(got) == 1)
    assert [got.event.id for got in subscriber.got] == [genuine.id]
    assert not sink.got


def signed_by_another_key(token: str) -> str:
    """Return the relay's claims, signed by our own key under the id of the cluster's key."""
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["exp"] = datetime.now(UTC) + timedelta(hours=1)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": jwt.get_unverified_header(token)["kid"]})


async def test_an_event_of_the_one_that_the_policy_names_arrives_and_its_token_goes_no_further(
    guarded: ClusterBroker, subscriber: Subscriber, sink: Subscriber
) -> None:
    assert differs(guarded, "Any client may send")
    await assert_only(event(), guarded, subscriber, sink)
    (got,) = subscriber.got
    assert "authorization" not in got.headers
    assert guarded.shown["authorization"] not in got.headers.values()


async def test_who_shows_no_token_of_the_cluster_for_this_broker_is_answered_401_and_nothing_arrives(
    guarded: ClusterBroker, subscriber: Subscriber, sink: Subscriber
) -> None:
    relays = guarded.shown["authorization"].removeprefix("Bearer ")
    head, claims, signature = relays.split(".")
    another = audience_of(guarded.namespace, "another")
    shown = {
        "no token": "",
        "what is no token": "forged",
        "a changed signature": f"{head}.{claims}.{signature[:-8]}{signature[-8:].swapcase()}",
        "no signature": jwt.encode(jwt.decode(relays, options={"verify_signature": False}), "", algorithm="none"),
        "a signature of another key": signed_by_another_key(relays),
        "for another broker": token_of(RELAY, guarded.namespace, another),
        "for Kubernetes": token_of(RELAY, guarded.namespace, "https://kubernetes.default.svc"),
    }
    assert {name: await sent(guarded, token, event()) for name, token in shown.items()} == dict.fromkeys(shown, 401)
    await assert_only(event(), guarded, subscriber, sink)


async def test_another_account_of_this_or_of_another_namespace_is_answered_403_and_nothing_arrives(
    guarded: ClusterBroker, subscriber: Subscriber, sink: Subscriber, elsewhere: str
) -> None:
    audience = audience_of(guarded.namespace, guarded.named(BROKER))
    for account, namespace in ((OTHER, guarded.namespace), ("default", guarded.namespace), (RELAY, elsewhere)):
        assert await sent(guarded, token_of(account, namespace, audience), event()) == 403, (account, namespace)
    await assert_only(event(), guarded, subscriber, sink)


async def test_retries_and_dead_letters_are_as_without_it(
    guarded: ClusterBroker, subscriber: Subscriber, sink: Subscriber
) -> None:
    subscriber.answers, subscriber.answer = [503], 400
    failed = event()
    assert await guarded.send(*cloudevents.binary(failed)) == 202
    await sink.until(lambda got: len(got) == 1)
    assert [got.event.id for got in subscriber.got] == [failed.id] * 2
    (letter,) = sink.got
    assert (letter.path, letter.event.id, letter.event.extensions["knativeerrorcode"]) == ("/t", failed.id, "400")


async def test_without_a_policy_any_account_of_the_namespace_may_send_and_none_of_another(
    broker: ClusterBroker, apply: Apply, subscriber: Subscriber, elsewhere: str
) -> None:
    await apply(t=quick())
    audience = audience_of(broker.namespace, broker.named(BROKER))
    assert await sent(broker, token_of(RELAY, elsewhere, audience), event()) == 403
    assert await sent(broker, token_of(OTHER, broker.namespace, audience), own := event()) == 202
    await subscriber.until(lambda got: len(got) == 1)
    assert subscriber.got[0].event.id == own.id
