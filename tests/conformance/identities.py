"""Knative Eventing where it authenticates senders: the switch, tokens of service accounts, a Broker's policy."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.broker import Manifest
from tests.conformance.cluster import kubectl

FLAG, ON = "authentication-oidc", "enabled"
SYSTEM = "knative-eventing"
SWITCHED_S, LOOK_S = 120.0, 0.2
KINDS = "brokers.eventing.knative.dev,inmemorychannels.messaging.knative.dev"


@contextmanager
def authenticated() -> Iterator[None]:
    """Eventing authenticates senders inside, on the whole cluster; at the end the switch is as it was before."""
    before = json.loads(kubectl("get", "configmap", "config-features", "-n", SYSTEM, "-o", "json"))["data"].get(FLAG)
    try:
        _switch(ON)
        yield
    finally:
        _switch(before)


def _switch(value: str | None) -> None:
    """Returns when every Broker and in-memory channel has an audience, and their subscribers identities; or none."""
    patch = json.dumps({"data": {FLAG: value}})
    kubectl("patch", "configmap", "config-features", "-n", SYSTEM, "--type=merge", "-p", patch)
    until = time.monotonic() + SWITCHED_S
    while left := [name for name, known in _identities() if known != (value == ON)]:
        if time.monotonic() > until:
            raise TimeoutError(f"{FLAG}: {value} has not reached {', '.join(left)}")
        time.sleep(LOOK_S)


def _identities() -> Iterator[tuple[str, bool]]:
    """Each thing that gets an identity, and whether it has one."""
    for one in json.loads(kubectl("get", KINDS, "-A", "-o", "json"))["items"]:
        address: dict[str, Any] | None = one.get("status", {}).get("address")
        if address is None or "deletionTimestamp" in one["metadata"]:
            continue
        name = f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}"
        yield name, "audience" in address
        for subscriber in one["spec"].get("subscribers", ()):
            yield f"{name} {subscriber['subscriberUri']}", "auth" in subscriber


def audience_of(namespace: str, broker: str) -> str:
    """As Eventing writes it into the Broker's address."""
    return f"eventing.knative.dev/broker/{namespace}/{broker}"


def token_of(account: str, namespace: str, audience: str) -> str:
    """By the cluster's TokenRequest; ten minutes is the shortest that it makes."""
    return kubectl("create", "token", account, "-n", namespace, f"--audience={audience}", "--duration=600s").strip()


def subject(account: str, namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def policy(name: str, broker: str, *subjects: str) -> Manifest:
    """The Broker takes events from these subjects alone. ``broker`` is its name on the cluster."""
    to = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker}}
    return {
        "apiVersion": "eventing.knative.dev/v1alpha1",
        "kind": "EventPolicy",
        "metadata": {"name": name},
        "spec": {"to": [to], "from": [{"sub": one} for one in subjects]},
    }
