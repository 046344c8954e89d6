"""
Tests a broker of a real cluster: kubectl applies a test's manifests, and its subscribers listen on this machine,
where pods reach them. A run has one namespace, which is deleted with it; each test has objects of its own, since a
Broker that is deleted and made again under one name would find the channel of the first.
"""

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

import httpx
import pytest
import yaml
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent, new_id
from pulsecart.serving import cloudevents
from tests.conformance.broker import BROKER, Manifest
from tests.conformance.subscriber import PROBE, Subscriber

CONFIGS = {  # of the Broker's channels: by Knative's own default in memory
    "cluster": "config-br-default-channel",
    "jetstream": "config-natjsm-channel",
}
LABEL = "pulsecart.dev/conformance"
KUBECTL_S = 30
PROBE_S = 0.1
# On a cold cluster PingSources wait for their adapter; a JetStream dispatcher waits for the lease of one that died.
READY_S = 150
SEND_S = 60.0  # the in-memory channel answers after its subscribers have, retries included


class NoCluster(Exception):
    """No cluster can be used; the message names the part that did not answer."""


class Run:
    """
    Holds the namespace for one run of the suite, on the cluster of KUBECONFIG.

    Raises:
        NoCluster: it does not answer, or has no Knative Eventing.
    """

    def __init__(self) -> None:
        if not os.environ.get("KUBECONFIG"):
            raise NoCluster("KUBECONFIG is not set")
        self.host = os.environ.get("CONFORMANCE_HOST") or _node_address()
        self.ingress = os.environ.get("BROKER_INGRESS") or _ingress_url()
        self.namespace = f"conformance-{os.urandom(4).hex()}"
        configs = _asked("get", "configmaps", "-n", "knative-eventing", "-o", "name")
        self._flavours = {flavour for flavour, config in CONFIGS.items() if f"configmap/{config}" in configs.split()}
        self._tests = itertools.count(1)
        self._kept = False
        kubectl("create", "namespace", self.namespace)

    def broker(self, flavour: str) -> "ClusterBroker":
        """Make a broker for one test; skip the test if the cluster lacks such channels."""
        if flavour not in self._flavours:
            pytest.skip(f"no {CONFIGS[flavour]} on this cluster: install its channels, see docs/conformance.md")
        if flavour == "jetstream" and not self._kept:
            self._kept = True
            self._keep_a_channel(CONFIGS[flavour])
        return ClusterBroker(self, CONFIGS[flavour], flavour, str(next(self._tests)))

    def _keep_a_channel(self, config: str) -> None:
        """Keep one channel: JetStream's dispatcher ends with its last channel, and the next one waits for its lease."""
        template = kubectl(
            "get", "configmap", config, "-n", "knative-eventing", "-o", r"jsonpath={.data.channelTemplateSpec}"
        )
        channel = yaml.safe_load(template) | {"metadata": {"name": "kept", "namespace": self.namespace}}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(channel))

    def close(self) -> None:
        kubectl("delete", "namespace", self.namespace, "--wait=false")


class ClusterBroker:
    """``config`` is the ConfigMap of the Broker's channels; ``test`` marks its objects in the namespace."""

    def __init__(self, run: Run, config: str, flavour: str, test: str) -> None:
        self.host = run.host
        self.namespace = run.namespace
        self.flavour = flavour
        self._ingress = run.ingress
        self._config = {"apiVersion": "v1", "kind": "ConfigMap", "name": config, "namespace": "knative-eventing"}
        self._test = test
        self._http = httpx.AsyncClient(timeout=SEND_S, trust_env=False)
        self.shown: dict[str, str] = {}  # headers of every request to the ingress: where it asks for a token

    def named(self, name: str) -> str:
        return f"{name}-{self._test}"

    async def apply(self, manifests: Sequence[Manifest]) -> None:
        await self.ready(manifests)
        async with Subscriber(self.host) as probe, asyncio.timeout(READY_S):
            await self._apply([_probe(probe.url("probe"))])
            await self._heard(probe)

    async def ready(self, manifests: Sequence[Manifest]) -> None:
        """Apply, and wait for each to be Ready; events may still miss a Trigger."""
        objects = await self._apply(manifests)
        wait = ("wait", "--for=condition=Ready", f"--timeout={READY_S}s", "-f", "-")
        await asyncio.to_thread(kubectl, *wait, stdin=objects, timeout_s=READY_S)

    async def _apply(self, manifests: Sequence[Manifest]) -> str:
        objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": [self._here(m) for m in manifests]})
        await asyncio.to_thread(kubectl, "apply", "--server-side", "-f", "-", stdin=objects)
        return objects

    async def _heard(self, probe: Subscriber) -> None:
        """
        Returns when a Trigger that was created after all others receives an event.

        A Trigger is Ready before events reach it: the in-memory channel's dispatcher says that a subscription is ready
        even where it skipped the channel as changed since (observedGeneration), and until it comes back to it the
        ingress answers 202 and no subscriber gets the event. It takes over all
        subscriptions of a channel at once, also the last one.
        """
        event = CloudEvent(id="probe", source="/conformance", type=PROBE)
        while not probe.probed.is_set():
            event = replace(event, id=new_id())  # the JetStream channel drops an id that it has seen
            await self.send(*cloudevents.binary(event))
            with suppress(TimeoutError):
                await asyncio.wait_for(probe.probed.wait(), PROBE_S)

    async def send(self, headers: dict[str, str], body: bytes, *, to: str = BROKER) -> int:
        response = await self._http.post(await self.address(to), headers=self.shown | headers, content=body)
        return response.status_code

    async def address(self, to: str = BROKER) -> str:
        return f"{self._ingress}/{self.namespace}/{self.named(to)}"

    async def stop(self) -> None:
        await self._http.aclose()
        kinds = "triggers.eventing.knative.dev,pingsources.sources.knative.dev,brokers.eventing.knative.dev"
        selected = ("-n", self.namespace, "-l", f"{LABEL}={self._test}")
        await asyncio.to_thread(kubectl, "delete", kinds, *selected, "--wait=false")

    def _here(self, manifest: Manifest) -> Manifest:
        made: dict[str, Any] = deepcopy(manifest)
        metadata, spec = made["metadata"], made["spec"]
        metadata |= {"name": self.named(metadata["name"]), "namespace": self.namespace, "labels": {LABEL: self._test}}
        if made["kind"] == "Broker":
            spec["config"] = self._config
        if "broker" in spec:
            spec["broker"] = self.named(spec["broker"])
        return made


def _probe(uri: str) -> Manifest:
    spec = {"broker": BROKER, "filter": {"attributes": {"type": PROBE}}, "subscriber": {"uri": uri}}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "probe"}, "spec": spec}


def kubectl(*arguments: str, stdin: str | None = None, timeout_s: float = 0.0) -> str:
    done = subprocess.run(
        ("kubectl", *arguments), input=stdin, capture_output=True, text=True, timeout=KUBECTL_S + timeout_s, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _asked(*arguments: str) -> str:
    try:
        return kubectl("--request-timeout=5s", *arguments).strip()
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        raise NoCluster(str(error)) from error


def _node_address() -> str:
    """Return this machine's address for pods: the first node's; elsewhere CONFORMANCE_HOST must name it."""
    nodes = _asked("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
    return nodes.split()[0]


def _ingress_url() -> str:
    address = _asked("get", "service", "-n", "knative-eventing", "broker-ingress", "-o", "jsonpath={.spec.clusterIP}")
    return f"http://{address}"
