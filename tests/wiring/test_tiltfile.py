"""
Runs the Tiltfile under Starlark with Tilt's own functions recorded, and checks its builds, objects, ports, buttons.
The functions have the parameters of Tilt 0.37's documentation, and no others.
"""

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from benchmarks.live_update import ROOMS
from tests.kubectl import need_kubectl
from tests.wiring.test_manifests import IN_BASE
from tools.operations_table import ROOT

starlark = pytest.importorskip(
    "starlark", reason="starlark-pyo3 has no wheel for Python 3.14 on Linux aarch64: use 3.13"
)
TILTFILE = (ROOT / "Tiltfile").read_text()
CONFIG = """
config = struct(define_bool=_define_bool, parse=_parse, tilt_subcommand=_subcommand)
TRIGGER_MODE_MANUAL = 'manual'
"""
OPERATIONS = set(IN_BASE)


class Refused(Exception):
    """The Tiltfile called ``fail`` with this message."""


@dataclass
class Tilt:
    context: str = "kind-pulsecart"
    clusters: str = "pulsecart\n"
    complete: bool = True
    given: dict[str, bool] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    builds: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: list[dict[str, Any]] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    buttons: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> "Tilt":
        module = starlark.Module()
        for name in [
            "local",
            "fail",
            "k8s_context",
            "docker_build",
            "fall_back_on",
            "sync",
            "k8s_kind",
            "kustomize",
            "decode_yaml_stream",
            "encode_yaml_stream",
            "encode_json",
            "k8s_yaml",
            "k8s_resource",
            "link",
            "local_resource",
            "_define_bool",
            "_parse",
        ]:
            module.add_callable(name, getattr(self, name))
        module["_subcommand"] = "up"
        known = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
        dialect = starlark.Dialect.extended()
        dialect.enable_top_level_stmt = True
        starlark.eval(module, starlark.parse("Tiltfile", CONFIG + TILTFILE, dialect), known)
        return self

    def local(self, command: str, quiet: bool = False) -> str:
        self.ran.append(command)
        if command == "kind get clusters":
            return self.clusters
        return "namespace/knative-eventing\n" if "-l pulsecart.dev/complete" in command and self.complete else ""

    def fail(self, message: str) -> None:
        raise Refused(message)

    def k8s_context(self) -> str:
        return self.context

    def docker_build(self, ref: str, context: str, *, target: str, live_update: list[Any]) -> None:
        self.builds[ref] = {"context": context, "target": target, "live_update": live_update}

    def fall_back_on(self, files: str) -> dict[str, str]:
        return {"fall_back_on": files}

    def sync(self, local_path: str, remote_path: str) -> dict[str, str]:
        return {local_path: remote_path}

    def k8s_kind(self, kind: str, *, api_version: str, image_json_path: str, pod_readiness: str) -> None:
        self.kinds.append({"kind": kind, "api_version": api_version, "path": image_json_path, "ready": pod_readiness})

    def kustomize(self, path: str) -> str:
        done = subprocess.run(["kubectl", "kustomize", str(ROOT / path)], capture_output=True, text=True, check=True)
        return done.stdout

    def decode_yaml_stream(self, text: str) -> list[Any]:
        return [one for one in yaml.safe_load_all(text) if one]

    def encode_yaml_stream(self, things: list[Any]) -> str:
        return str(yaml.safe_dump_all(things))

    def encode_json(self, thing: Any) -> str:
        return json.dumps(thing)

    def k8s_yaml(self, text: str) -> None:
        self.applied += self.decode_yaml_stream(text)

    def k8s_resource(
        self,
        workload: str,
        *,
        port_forwards: list[str] | None = None,
        extra_pod_selectors: list[dict[str, str]] | None = None,
        discovery_strategy: str = "",
        resource_deps: list[str] | None = None,
        links: list[Any] | None = None,
        labels: list[str] | None = None,
    ) -> None:
        self.resources[workload] = {
            "port_forwards": port_forwards,
            "selectors": extra_pod_selectors,
            "deps": resource_deps,
            "links": links,
        }

    def link(self, url: str, name: str) -> str:
        return url

    def local_resource(
        self, name: str, cmd: str, *, trigger_mode: str, auto_init: bool, labels: list[str] | None = None
    ) -> None:
        self.buttons[name] = {"cmd": cmd, "by_hand": trigger_mode == "manual" and not auto_init}

    def _define_bool(self, name: str, *, usage: str) -> None:
        pass

    def _parse(self) -> dict[str, bool]:
        return self.given

    def services(self) -> dict[str, dict[str, Any]]:
        found = [one for one in self.applied if one["apiVersion"] == "serving.knative.dev/v1"]
        return {one["metadata"]["name"]: one for one in found}


@pytest.fixture(autouse=True)
def kustomize_is_there() -> None:
    need_kubectl("the Tiltfile's overlay cannot be built")


def test_every_operation_is_a_resource_that_tilt_finds_the_pods_and_the_image_of() -> None:
    tilt = Tilt().run()
    assert set(tilt.services()) == OPERATIONS
    assert set(tilt.resources) >= OPERATIONS
    assert tilt.resources["reserve"]["selectors"] == [{"serving.knative.dev/service": "reserve"}]
    (kind,) = tilt.kinds
    assert (kind["kind"], kind["api_version"]) == ("Service", "serving.knative.dev/v1")
    assert kind["path"] == "{.spec.template.spec.containers[*].image}"
    used = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in tilt.services().values()}
    assert {image.partition(":")[0] for image in used} == set(tilt.builds)


def test_a_saved_file_goes_into_a_pod_that_may_be_written_and_restarts() -> None:
    tilt = Tilt().run()
    build = tilt.builds["dev.local/pulsecart"]
    assert f"AS {build['target']}" in (ROOT / "Dockerfile").read_text()
    assert {"functions": "/app/functions"} in build["live_update"]
    synced = {path for step in build["live_update"] for path in step if path != "fall_back_on"}
    assert synced == set(ROOMS), "what is synced is what the test of the live stage changes"
    for one in tilt.services().values():
        template = one["spec"]["template"]
        assert template["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is False
        assert template["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] == "1"


def test_zero_leaves_the_scale_as_everywhere_else() -> None:
    tilt = Tilt(given={"zero": True}).run()
    for one in tilt.services().values():
        assert "autoscaling.knative.dev/min-scale" not in one["spec"]["template"]["metadata"]["annotations"]
    assert tilt.kinds[0]["ready"] == "ignore"


def test_the_buttons_are_pressed_by_hand_and_call_scripts_that_exist() -> None:
    tilt = Tilt().run()
    assert set(tilt.buttons) == {"play a sale", "audit", "replay dead letters", "scale table"}
    assert all(button["by_hand"] for button in tilt.buttons.values())
    for button in tilt.buttons.values():
        for word in button["cmd"].split():
            assert not word.startswith("./") or (ROOT / word).is_file()
    forwarded = tilt.resources["postgresql"]["port_forwards"] + tilt.resources["valkey"]["port_forwards"]
    assert [one.partition(":")[0] in tilt.buttons["audit"]["cmd"] for one in forwarded] == [True, True]


def test_from_nothing_the_cluster_and_knative_are_made_first() -> None:
    tilt = Tilt(context="", clusters="No kind clusters found.\n", complete=False).run()
    assert tilt.ran.index("kind create cluster --config kind-cluster.yaml") == 1
    applied = [command for command in tilt.ran if " apply -f https://" in command]
    assert len(applied) == 7
    assert all("knative-v1.21." in command for command in applied)
    assert "complete=true" in tilt.ran[-1]
    assert yaml.safe_load((ROOT / "kind-cluster.yaml").read_text())["name"] == "pulsecart"


def test_what_is_there_is_left_as_it_is() -> None:
    assert [command for command in Tilt().run().ran if "apply" in command or "create" in command] == []


def test_another_cluster_is_never_touched() -> None:
    tilt = Tilt(context="production", complete=False)
    with pytest.raises(Exception, match="tilt up --context kind-pulsecart"):
        tilt.run()
    assert tilt.ran == []
