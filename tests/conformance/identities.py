"""Enables sender authentication in Knative Eventing: the feature flag, service account tokens, a Broker's policy."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.broker import Manifest
from tests.conformance.cluster import kubectl

FLAG, ON = "authentication-oidc", "enabled"
SYSTEM = "knative-eventing"
CONTROLLER = "system:serviceaccount:knative-eventing:eventing-controller"
SWITCHED_S, LOOK_S = 60.0, 0.2
BROKERS, CHANNELS = "brokers.eventing.knative.dev", "inmemorychannels.messaging.knative.dev"
KIND, IN_MEMORY = "knative.dev/channelKind", "InMemoryChannel"
SUBSCRIPTIONS = "subscriptions.messaging.knative.dev"


@contextmanager
def authenticated() -> Iterator[None]:
    """Enable sender authentication on the whole cluster for the context; restore the feature flag at its end."""
    before = json.loads(kubectl("get", "configmap", "config-features", "-n", SYSTEM, "-o", "json"))["data"].get(FLAG)
    try:
        _switch(ON)
        yield
    finally:
        _switch(before)
        if before != ON:  # Eventing makes one for each Broker's channel, and leaves it
            kubectl(
                "delete", "eventpolicies.eventing.knative.dev", "-A", "-l", "eventing.knative.dev/broker-kind=Broker"
            )


def _switch(value: str | None) -> None:
    """Set the flag; wait until all Brokers, in-memory channels and Triggers have an identity, or none has."""
    patch = json.dumps({"data": {FLAG: value}})
    kubectl("patch", "configmap", "config-features", "-n", SYSTEM, "--type=merge", "-p", patch)
    until = time.monotonic() + SWITCHED_S
    while left := [name for name, known in _identities() if known is not (value == ON)]:
        if time.monotonic() > until:
            raise TimeoutError(f"{FLAG}: {value} has not reached {', '.join(left)}")
        forget_subscribers_that_are_no_more()
        time.sleep(LOOK_S)
    forget_subscribers_that_are_no_more()


def _identities() -> Iterator[tuple[str, bool | None]]:
    """Yield each object that gets an identity, and whether it has one; None while it is being recreated."""
    brokers, channels = _there(BROKERS), _there(CHANNELS)
    for one in brokers + channels:
        if address := one.get("status", {}).get("address"):
            yield _named(one), "audience" in address
    known = {sub["uid"]: "auth" in sub for channel in channels for sub in channel["spec"].get("subscribers", ())}
    subscriptions = {
        one["metadata"]["ownerReferences"][0]["uid"]: one["metadata"]["uid"]
        for one in _there(SUBSCRIPTIONS)
        if one["metadata"].get("ownerReferences")
    }
    served = {_named(one) for one in brokers if one.get("status", {}).get("annotations", {}).get(KIND) == IN_MEMORY}
    for trigger in _there("triggers.eventing.knative.dev"):
        if f"Broker {trigger['metadata']['namespace']}/{trigger['spec']['broker']}" in served:
            yield _named(trigger), known.get(subscriptions.get(trigger["metadata"]["uid"], ""))


def _named(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}"


def forget_subscribers_that_are_no_more() -> None:
    """
    Remove subscribers without a Subscription. The switch recreates every Trigger's Subscription, and each writes the
    channel's whole list of subscribers, so that old ones come back. They have no identity: Knative's filter refuses
    them, and the channel answers 500 for good.
    """
    subscriptions = {one["metadata"]["uid"] for one in _there(SUBSCRIPTIONS)}
    for channel in _there(CHANNELS):
        subscribers = channel["spec"].get("subscribers", [])
        kept = [one for one in subscribers if one["uid"] in subscriptions]
        if kept == subscribers:
            continue
        patch = {"metadata": {"resourceVersion": channel["metadata"]["resourceVersion"]}, "spec": {"subscribers": kept}}
        where = ("-n", channel["metadata"]["namespace"], channel["metadata"]["name"])
        try:  # Eventing lets its own controller alone change them
            kubectl("patch", CHANNELS, *where, "--as", CONTROLLER, "--type=merge", "-p", json.dumps(patch))
        except RuntimeError as error:
            if "the object has been modified" not in str(error):
                raise


def _there(*kinds: str) -> list[dict[str, Any]]:
    """Return the objects of these kinds in all namespaces, without those being deleted."""
    items = json.loads(kubectl("get", ",".join(kinds), "-A", "-o", "json"))["items"]
    return [one for one in items if "deletionTimestamp" not in one["metadata"]]


def audience_of(namespace: str, broker: str) -> str:
    """Return the audience that Eventing writes into the Broker's address."""
    return f"eventing.knative.dev/broker/{namespace}/{broker}"


def token_of(account: str, namespace: str, audience: str) -> str:
    """Request a token from the cluster (TokenRequest); ten minutes is the shortest lifetime."""
    return kubectl("create", "token", account, "-n", namespace, f"--audience={audience}", "--duration=600s").strip()


def subject(account: str, namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def policy(name: str, broker: str, *subjects: str) -> Manifest:
    """Return a policy that admits only these subjects. ``broker`` is the Broker's name on the cluster."""
    to = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker}}
    return {
        "apiVersion": "eventing.knative.dev/v1alpha1",
        "kind": "EventPolicy",
        "metadata": {"name": name},
        "spec": {"to": [to], "from": [{"sub": one} for one in subjects]},
    }
