"""What is missing on a cluster is said by scripts/deploy, and stands where a Kubernetes user looks first."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import yaml

from tests.cluster.kube import kubectl, listed, run
from tools.operations_table import ROOT

NOWHERE = "postgresql://shop:x@127.0.0.1:1/shop"
ALONE = [
    {"kind": "Trigger", "name": ".*"},
    {"kind": "PingSource", "name": ".*"},
    {"group": "serving.knative.dev", "kind": "Service", "name": "(?:[^s].*|settle)"},  # all but stock
]


class Said(NamedTuple):
    status: int
    out: str
    err: str


class Place(NamedTuple):
    """A namespace of this test's own, and the image that the deployed shop runs."""

    name: str
    image: str
    overlay: Path

    def write(self, base: str, *patches: dict[str, Any]) -> None:
        wanted = {
            "resources": [os.path.relpath(ROOT / base, self.overlay)],
            "namespace": self.name,
            "patches": list(patches),
        }
        (self.overlay / "kustomization.yaml").write_text(yaml.safe_dump(wanted))

    async def deploy(self, timeout_s: int = 30) -> Said:
        return await deployed("--overlay", str(self.overlay), "--image", self.image, "--timeout", str(timeout_s))


async def deployed(*arguments: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.deploy", *arguments, cwd=ROOT, stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


def delete(target: dict[str, str]) -> dict[str, Any]:
    api = {"Trigger": "eventing.knative.dev/v1", "PingSource": "sources.knative.dev/v1"}
    version = api.get(target["kind"], "serving.knative.dev/v1")
    one = {"apiVersion": version, "kind": target["kind"], "metadata": {"name": "every"}, "$patch": "delete"}
    return {"target": target, "patch": yaml.safe_dump(one)}


async def image() -> str:
    (checkout,) = [one for one in await listed("ksvc") if one["metadata"]["name"] == "checkout"]
    return str(checkout["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    name = f"pulsecart-{uuid4().hex[:8]}"
    yield Place(name, await image(), tmp_path)
    await run("kubectl", "delete", "namespace", name, "--ignore-not-found", "--wait=false")


async def test_a_secret_that_is_missing_is_named_before_anything_is_applied(place: Place) -> None:
    place.write("k8s/overlays/production")
    output = await place.deploy()
    assert output.status == 1
    for secret, key in (
        ("pulsecart-database", "DATABASE_URL"),
        ("pulsecart-redis", "REDIS_URL"),
        ("pulsecart-session", "SESSION_SECRET"),
        ("pulsecart-migrations", "MIGRATION_DATABASE_URL"),
        ("pulsecart-events", "EVENT_KEYS"),
    ):
        assert f"Secret {secret} is missing in namespace {place.name}" in output.err
        assert f"create secret generic {secret} --from-literal={key}=" in output.err
    assert place.name not in await run("kubectl", "get", "namespaces", "-o", "name")


@pytest.mark.timeout(180)
async def test_a_wrong_broker_class_and_an_unreachable_database_are_both_said(place: Place) -> None:
    broker = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {"name": "default", "annotations": {"eventing.knative.dev/broker.class": "Imagined"}},
    }
    place.write("k8s/overlays/production", {"patch": yaml.safe_dump(broker)}, *(delete(one) for one in ALONE))
    await run("kubectl", "create", "namespace", place.name)
    for secret, value in (
        ("pulsecart-database", f"DATABASE_URL={NOWHERE}"),
        ("pulsecart-redis", "REDIS_URL=redis://127.0.0.1:1"),
        ("pulsecart-session", "SESSION_SECRET=development-only-32-bytes-or-more"),
        ("pulsecart-migrations", f"MIGRATION_DATABASE_URL={NOWHERE}"),
        ("pulsecart-events", "EVENT_KEYS=development-only-of-32-bytes-or-more"),
        ("pulsecart-webhooks", "WEBHOOK_KEYS=Zm9yIGRldmVsb3BtZW50IG9ubHksIDMyIGJ5dGVzIC4="),
    ):
        await kubectl("create", "secret", "generic", secret, f"--from-literal={value}", namespace=place.name)
    output = await place.deploy()
    assert output.status == 1
    assert "no controller on this cluster handles a Broker of the class Imagined" in output.err
    assert "the database cannot be reached" in output.err, "of the migrations' Job"
    (stock,) = [line for line in output.err.splitlines() if "Service stock)" in line]
    assert "not ready" in stock or "connection" in stock
    assert "not ready" in await kubectl(
        "logs", "-l", "serving.knative.dev/service=stock", "-c", "user-container", "--tail=-1", namespace=place.name
    )


@pytest.mark.shop
async def test_a_second_apply_changes_nothing() -> None:
    (broker,) = await listed("brokers")
    durable = "natjsm" in broker["spec"]["config"]["name"]
    overlay = ROOT / "tests" / "cluster" / ("overlay-jetstream" if durable else "overlay")
    arguments = ("--overlay", str(overlay), "--image", await image())
    assert (await deployed(*arguments)).status == 0
    before = {one["metadata"]["name"]: one["metadata"]["generation"] for one in await listed("ksvc")}
    output = await deployed(*arguments)
    assert output.status == 0
    (applied,) = [line for line in output.out.splitlines() if line.startswith("applied ")]
    assert applied.endswith(" unchanged")
    assert "," not in applied
    assert {one["metadata"]["name"]: one["metadata"]["generation"] for one in await listed("ksvc")} == before


@pytest.mark.parametrize(
    "overlay",
    [
        "k8s/overlays/kind",
        "k8s/overlays/production",
        "tests/cluster/overlay-jetstream",
        "tests/cluster/overlay-event-policy",
    ],
)
async def test_the_cluster_would_take_every_overlay(place: Place, overlay: str) -> None:
    """Its schemas, defaults, webhooks and admission, without a trace."""
    place.write(overlay)
    # Knative's webhook rejects an EventPolicy where senders are not authenticated; test_event_policy.py applies one.
    documents = yaml.safe_load_all(await run("kubectl", "kustomize", str(place.overlay)))
    built = yaml.safe_dump_all(kept := [one for one in documents if one["kind"] != "EventPolicy"])
    first = [one for one in kept if one["kind"] in ("Namespace", "ServiceAccount")]
    await run("kubectl", "apply", "-f", "-", given=yaml.safe_dump_all(first))  # Knative tries each pod out in its own
    output = await run("kubectl", "apply", "--server-side", "--dry-run=server", "-f", "-", given=built)
    assert "service.serving.knative.dev/checkout serverside-applied" in output
    assert "Warning" not in output
