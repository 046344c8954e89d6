"""The demo is deployed to kind and this machine; to another cluster only on explicit request."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_needs import crd, deploy
from tests.kubectl import need_kubectl
from tools.deploy.local import is_demo, is_local
from tools.operations_table import ROOT

NEEDS: dict[str, object | None] = {
    "version": {},
    "get crd services": crd("1.21.2"),
    "get crd triggers": crd("1.21.2"),
}
ELSEWHERE = ("kind-production", "https://api.shop.example.com:6443")
OPERATION = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "stock"}}


def believing(value: str) -> dict[str, Any]:
    data = {"ACCEPT_UNSIGNED_BUYERS": value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def cluster(context: str, server: str, *objects: dict[str, Any]) -> dict[str, object | None]:
    view = {"current-context": context, "clusters": [{"name": context, "cluster": {"server": server}}]}
    return NEEDS | {"config view": view, "kustomize": believing("true")}


@pytest.mark.parametrize(
    ("context", "server"),
    [
        ("production", "https://api.shop.example.com:6443"),
        ("kind-production", "https://api.shop.example.com:6443"),
        ("admin@lan", "https://192.168.1.10:6443"),
        ("knlab", "https://10.87.0.1:6443"),
        ("localhost", "https://localhost.example.com"),
        ("kind-a", "https://kind-control-plane:6443"),
        ("", ""),
    ],
)
def test_a_cluster_elsewhere_is_not_local_whatever_its_name(context: str, server: str) -> None:
    assert not is_local(context, server)


@pytest.mark.parametrize("overlay", ["", "k8s/overlays/kind", str(ROOT / "k8s/../k8s/overlays/kind/")])
def test_nothing_of_the_demo_is_applied_elsewhere(tmp_path: Path, overlay: str) -> None:
    output = deploy(tmp_path, cluster(*ELSEWHERE), *(("--overlay", overlay) if overlay else ()))
    assert output.returncode == 1
    assert "neither kind's nor on this machine" in output.stderr
    assert "--demo-on-this-cluster" in output.stderr
    assert "applied" not in output.stdout


@pytest.mark.parametrize(
    ("context", "server"),
    [
        ("kind-pulsecart", "https://127.0.0.1:39211"),
        ("kind-pulsecart", "https://pulsecart-control-plane:6443"),
        ("kind-six", "https://[::1]:6443"),
        ("minikube", "https://127.0.0.1:55000"),
        ("docker-desktop", "https://kubernetes.docker.internal:6443"),
        ("k3d", "https://0.0.0.0:6550"),
        ("lima", "https://localhost:6443"),
    ],
)
def test_kind_and_this_machine_are_local(context: str, server: str) -> None:
    assert is_local(context, server)


def test_the_demo_needs_no_word_for_kind(tmp_path: Path) -> None:
    output = deploy(tmp_path, cluster("kind-pulsecart", "https://127.0.0.1:39211"))
    assert "on this machine" not in output.stderr


def test_the_word_lets_it_go_anywhere(tmp_path: Path) -> None:
    output = deploy(tmp_path, cluster(*ELSEWHERE), "--demo-on-this-cluster")
    assert "on this machine" not in output.stderr


def test_an_overlay_that_someone_wrote_is_their_word_and_is_warned_of(tmp_path: Path) -> None:
    output = deploy(tmp_path, cluster(*ELSEWHERE), "--overlay", str(tmp_path))
    assert "warning: this overlay accepts buyers without a token" in output.stderr
    assert "neither kind's" not in output.stderr


def test_what_makes_an_overlay_a_demo_is_that_it_believes_buyers() -> None:
    container = {"env": [{"name": "ACCEPT_UNSIGNED_BUYERS", "value": "1"}]}
    spec = {"template": {"spec": {"containers": [container]}}}
    assert is_demo([believing("TRUE")])
    assert is_demo([OPERATION | {"spec": spec}])
    assert not is_demo([believing("false"), OPERATION])


def test_the_project_s_own_demo_is_one_and_production_is_not() -> None:
    need_kubectl("overlays are not built")
    for overlay, demo in (("kind", True), ("production", False)):
        command = ["kubectl", "kustomize", str(ROOT / "k8s" / "overlays" / overlay)]
        built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert is_demo([one for one in yaml.safe_load_all(built) if one]) is demo


def test_a_slow_cluster_is_waited_for_as_long_as_the_timeout_says_and_no_longer(tmp_path: Path) -> None:
    output = deploy(tmp_path, NEEDS, "--timeout", "1", wait_s=30)
    assert output.returncode == 1
    assert "did not answer `kubectl version -o json` within the 1 s of --timeout" in output.stderr


def test_the_timeout_is_for_all_questions_together(tmp_path: Path) -> None:
    output = deploy(tmp_path, NEEDS, "--timeout", "2", wait_s=0.9)
    assert output.returncode == 1
    assert "within the 2 s of --timeout" in output.stderr


@pytest.mark.parametrize("given", ["0", "-1", "inf", "nan", "soon"])
def test_a_timeout_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    output = deploy(tmp_path, NEEDS, "--timeout", given)
    assert output.returncode == 2
    assert "Traceback" not in output.stderr
