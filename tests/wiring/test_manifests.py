"""k8s/ agrees with functions/ and the migrations, and fits into PostgreSQL's connections."""

import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulsecart.local.postgres import LOCALE
from pulsecart.processes import registry
from pulsecart.runtime.db.migrate import needed
from pulsecart.runtime.settings import read as read_settings
from pulsecart.serving.startup import check_unsigned
from tests.kubectl import need_kubectl
from tools.operations_table import ROOT, read

OPERATIONS = ROOT / "k8s" / "base" / "operations"
DATASTORE = ROOT / "k8s" / "components" / "datastores" / "postgresql.yaml"
MAX_SCALE = "autoscaling.knative.dev/max-scale"
NAMES = sorted(name.replace("_", "-") for name in registry.names())
# Operations that a component brings: they are in no overlay without it.
COMPONENTS = {path.stem: path for path in (ROOT / "k8s" / "components").glob("*/operations/*.yaml")}
COMPONENTS.pop("kustomization", None)
IN_BASE = [name for name in NAMES if name not in COMPONENTS]
# Of 100: the superuser's three, a migration, the relay's two of its own, an audit, a backup, a person's psql or two.
POSTGRESQL, RESERVED = 200, 16
OVERLAYS = [
    "k8s/overlays/kind",
    "k8s/overlays/production",
    "tests/cluster/overlay",
    "tests/cluster/overlay-jetstream",
    "tests/cluster/overlay-event-policy",
    "tests/cluster/overlay-pubsub",
]
Document = Mapping[str, Any]


def documents(path: Path) -> list[Document]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def manifest(name: str) -> Document:
    (one,) = documents(COMPONENTS.get(name, OPERATIONS / f"{name}.yaml"))
    return one


def template(name: str) -> Document:
    found: Document = manifest(name)["spec"]["template"]
    return found


def max_scale(name: str) -> int:
    return int(template(name)["metadata"]["annotations"][MAX_SCALE])


def settings() -> dict[str, str]:
    lines = (OPERATIONS / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def pool(name: str) -> int:
    env = {one["name"]: one["value"] for one in template(name)["spec"]["containers"][0].get("env", ())}
    return int(env.get("POOL_MAX", settings()["POOL_MAX"]))


@cache
def built(overlay: str) -> list[Document]:
    need_kubectl("overlays are not built")
    done = subprocess.run(["kubectl", "kustomize", str(ROOT / overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]  # libyaml: 20 ms, not 300


def of_kind(overlay: str, kind: str, group: str) -> dict[str, Document]:
    found = [one for one in built(overlay) if one["kind"] == kind and one["apiVersion"].startswith(group)]
    return {one["metadata"]["name"]: one for one in found}


def names_of(overlay: str) -> list[str]:
    """Return the operations that an overlay deploys."""
    return NAMES if overlay == "tests/cluster/overlay-pubsub" else IN_BASE


def services(overlay: str) -> dict[str, Document]:
    return of_kind(overlay, "Service", "serving.knative.dev/")


def test_every_operation_has_its_service_and_every_service_its_operation() -> None:
    listed = yaml.safe_load((OPERATIONS / "kustomization.yaml").read_text())["resources"]
    assert listed == [f"{name}.yaml" for name in IN_BASE], "mend k8s/base/operations/kustomization.yaml"
    for name in NAMES:
        assert manifest(name)["metadata"]["name"] == name
        assert template(name)["spec"]["containers"][0]["args"] == [name]


def test_every_file_of_eventing_is_applied() -> None:
    for folder in (ROOT / "eventing", *(path for path in (ROOT / "eventing").iterdir() if path.is_dir())):
        listing = folder / "Kustomization"
        listed = yaml.safe_load(listing.read_text())["resources"]
        assert listed == sorted(path.name for path in folder.glob("*.yaml")), f"mend {listing}"


def test_all_pools_together_stay_below_what_postgresql_admits() -> None:
    asked = {name: max_scale(name) * pool(name) for name in NAMES}
    assert sum(asked.values()) <= POSTGRESQL - RESERVED, asked
    assert max(pool(name) for name in NAMES) <= 4


def test_the_table_of_scales_is_that_of_the_manifests() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    output = [line for line in text.partition("| Operation |")[2].partition("\n\n")[0].splitlines() if "`" in line]
    assert output == [
        f"| `{name}` | {max_scale(name)} | {pool(name)} | {template(name)['spec']['timeoutSeconds']} s |"
        for name in NAMES
    ], "mend docs/kubernetes.md"
    assert f"Together these are {sum(max_scale(name) * pool(name) for name in NAMES)} connections" in text


def test_what_receives_events_scales_to_three_at_most_and_the_relay_is_alone() -> None:
    subscribed = [row.operation.dns_name for row in read() if row.operation.events]
    assert {name: max_scale(name) for name in subscribed if max_scale(name) > 3} == {}
    assert max_scale("relay") == 1


def test_checkout_batches_a_thousand_requests_in_one_of_few_pods() -> None:
    annotations = template("checkout")["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/target"] == "1000"
    assert template("checkout")["spec"]["containerConcurrency"] == 0
    assert max_scale("checkout") <= 2


def test_a_live_stream_ends_itself_before_its_request_may_not_last_longer() -> None:
    from pulsecart.runtime.settings import Settings

    life_s = Settings(database_url="", redis_url="").stream_life_s
    assert life_s < template("edge")["spec"]["timeoutSeconds"] <= 600


def test_the_cluster_s_databases_are_made_with_the_locale_of_the_embedded_one() -> None:
    given = " ".join(LOCALE)
    (store,) = (one for one in documents(DATASTORE) if one["kind"] == "StatefulSet")
    environ = {one["name"]: one.get("value") for one in store["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environ["POSTGRES_INITDB_ARGS"] == given
    script = (ROOT / "tests" / "cluster" / "stores" / "postgres.sh").read_text()
    assert given in " ".join(script.replace("\\\n", " ").split())


def test_the_job_is_named_by_the_newest_migration() -> None:
    (job,) = documents(ROOT / "k8s" / "base" / "migrate.yaml")
    assert re.fullmatch(rf"migrate-{needed()}(-[2-9])?", job["metadata"]["name"]), (
        "a new migration is a new Job: name it so, and raise the tag of dev.local/pulsecart-migrations in the overlays"
    )
    named = set(re.findall(r"\bmigrate-[\d-]+", (ROOT / "Tiltfile").read_text()))
    assert named == {job["metadata"]["name"]}, "name the Job so in the Tiltfile, too"


def test_every_setting_given_is_one_that_is_read() -> None:
    from dataclasses import fields

    from pulsecart.runtime.settings import Settings

    known = {field.name.upper() for field in fields(Settings)}
    assert settings().keys() <= known
    for overlay in OVERLAYS:
        for config in of_kind(overlay, "ConfigMap", "v1").values():
            assert config["data"].keys() <= known, overlay


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_holds_every_operation_in_one_namespace(overlay: str) -> None:
    assert sorted(services(overlay)) == names_of(overlay)
    spaces = {one["metadata"].get("namespace") for one in built(overlay) if one["kind"] != "Namespace"}
    assert spaces == {"pulsecart"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_edge_alone_is_public(overlay: str) -> None:
    label = "networking.knative.dev/visibility"
    inside = {
        name for name, one in services(overlay).items() if one["metadata"]["labels"].get(label) == "cluster-local"
    }
    assert inside == set(names_of(overlay)) - {"edge"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_probed_and_writes_nothing(overlay: str) -> None:
    pods = {name: one["spec"]["template"]["spec"] for name, one in services(overlay).items()}
    for kind in ("Job", "StatefulSet"):
        pods |= {name: one["spec"]["template"]["spec"] for name, one in of_kind(overlay, kind, "").items()}
    for name, spec in pods.items():
        assert spec["automountServiceAccountToken"] is False, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["runAsNonRoot"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert "memory" in container["resources"]["limits"], name
            assert name.startswith("migrate-") or "readinessProbe" in container, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_operation_refers_to_the_settings_that_are_there(overlay: str) -> None:
    (config,) = of_kind(overlay, "ConfigMap", "v1")
    for one in services(overlay).values():
        given = one["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        assert {"configMapRef": {"name": config}} in given


def test_production_makes_no_secret_and_believes_no_buyer() -> None:
    assert of_kind("k8s/overlays/production", "Secret", "v1") == {}
    (config,) = of_kind("k8s/overlays/production", "ConfigMap", "v1").values()
    assert "ACCEPT_UNSIGNED_BUYERS" not in config["data"]
    images = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in services(OVERLAYS[1]).values()}
    assert not any(image.startswith("dev.local/") for image in images)


@pytest.mark.parametrize("component", ["broker-kafka", "broker-jetstream", "monitoring", "event-policy"])
def test_a_component_fits_on_production(component: str, tmp_path: Path) -> None:
    """The overlay is in another directory, as in a user's own repository."""
    there = os.path.relpath(ROOT / "k8s", tmp_path)
    wanted = {"resources": [f"{there}/overlays/production"], "components": [f"{there}/components/{component}"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    overlay = os.path.relpath(tmp_path, ROOT)
    assert sorted(services(overlay)) == names_of(overlay)
    if component == "broker-kafka":
        (config,) = of_kind(overlay, "ConfigMap", "v1").items()
        assert "kafka-broker-ingress" in config[1]["data"]["BROKER_URL"]
        given = services(overlay)["relay"]["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        assert {"configMapRef": {"name": config[0]}} in given
    if component == "monitoring":
        (monitor,) = of_kind(overlay, "PodMonitor", "monitoring.coreos.com/v1").values()
        ours = monitor["spec"]["podMetricsEndpoints"][0]
        shown = ours["authorization"]["credentials"]
        assert (ours["port"], shown) == ("user-port", {"name": "pulsecart-metrics", "key": "METRICS_TOKEN"})
        for one in services(overlay).values():
            given = one["spec"]["template"]["spec"]["containers"][0]["envFrom"]
            assert {"secretRef": {"name": shown["name"]}} in given, "the token that the scraper shows is the pod's"


def test_a_demo_on_a_cluster_says_so_by_the_word_for_it() -> None:
    """``true`` is for loopback: no pod would start with it."""
    (config,) = of_kind("k8s/overlays/kind", "ConfigMap", "v1").values()
    settings = read_settings({"DATABASE_URL": "", "REDIS_URL": "", **config["data"]})
    assert settings.accept_unsigned_buyers
    check_unsigned(settings, "0.0.0.0", {"K_SERVICE": "edge"})
