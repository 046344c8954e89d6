"""scripts/deploy checks the prerequisites before it applies anything; a simulated kubectl answers it here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.deploy import needs
from tools.deploy.cluster import CannotDeploy, Object
from tools.deploy.needs import too_old
from tools.operations_table import ROOT


def deploy(
    directory: Path, answers: dict[str, object | None], *arguments: str, wait_s: float = 0
) -> "subprocess.CompletedProcess[str]":
    """
    Args:
        answers: of ``kubectl ARGUMENTS…``, by how the arguments begin; None is a refusal.
        wait_s: before each answer.
    """
    known = {start: None if answer is None else json.dumps(answer) for start, answer in answers.items()}
    program = directory / "kubectl"
    program.write_text(
        f"#!{sys.executable}\nimport sys, time\ntime.sleep({wait_s})\n"
        f"said = ' '.join(sys.argv[1:])\nknown = {known!r}\n"
        "found = next((known[start] for start in known if said.startswith(start)), '')\n"
        "sys.exit('The connection to the server was refused') if found is None else print(found)\n"
    )
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "tools.deploy", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def crd(version: str) -> dict[str, object]:
    return {"metadata": {"labels": {"app.kubernetes.io/version": version}}}


def test_no_cluster(tmp_path: Path) -> None:
    output = deploy(tmp_path, {"version": None})
    assert output.returncode == 1
    assert "no cluster answers: The connection to the server was refused" in output.stderr
    assert "KUBECONFIG" in output.stderr


def test_no_knative(tmp_path: Path) -> None:
    output = deploy(tmp_path, {"version": {}})
    assert output.returncode == 1
    assert "Knative Serving is not installed" in output.stderr


def test_a_knative_that_is_too_old(tmp_path: Path) -> None:
    serving = {"version": {}, "get crd services": crd("1.21.2")}
    output = deploy(tmp_path, {**serving, "get crd triggers": crd("1.13.1")})
    assert output.returncode == 1
    assert "Knative Eventing 1.13.1 is too old: 1.14 or newer is required" in output.stderr
    assert "Traceback" not in output.stderr


@pytest.mark.parametrize(
    ("version", "old"),
    [("1.13.9", True), ("1.14.0", False), ("v0.40.1", True), ("0.48.2", False), ("2.0.0", False), ("devel", False)],
)
def test_releases_and_modules_are_numbered_apart(version: str, old: bool) -> None:
    assert too_old(version) is old


BROKER: Object = {"kind": "Broker", "metadata": {"name": "default"}}
OVER_JETSTREAM: Object = {**BROKER, "spec": {"config": {"name": "config-natjsm-channel"}}}
POLICY: Object = {"kind": "EventPolicy", "metadata": {"name": "from-the-relay"}}
SHOWS = {"containers": [{"env": [{"name": "BROKER_TOKEN_FILE", "value": "/token"}]}]}
RELAY: Object = {"kind": "Service", "metadata": {"name": "relay"}, "spec": SHOWS}


@pytest.mark.parametrize(
    ("flag", "documents", "output"),
    [
        (None, [BROKER], ""),
        ("disabled", [BROKER], ""),
        ("Enabled", [BROKER, POLICY, RELAY], ""),
        ("disabled", [BROKER, POLICY, RELAY], "has EventPolicy from-the-relay"),
        (None, [BROKER, POLICY, RELAY], "has EventPolicy from-the-relay"),
        ("enabled", [BROKER], "add components/event-policy"),
        ("disabled", [OVER_JETSTREAM], ""),
        ("enabled", [OVER_JETSTREAM, POLICY, RELAY], "Leave components/broker-jetstream out"),
    ],
)
def test_an_overlay_and_a_cluster_agree_on_whether_senders_are_authenticated(
    monkeypatch: pytest.MonkeyPatch, flag: str | None, documents: list[Object], output: str
) -> None:
    features = None if flag is None else {"data": {"authentication-oidc": flag}}
    monkeypatch.setattr(needs, "found", lambda *asked: features)
    if not output:
        needs.identities(documents)
        return
    with pytest.raises(CannotDeploy, match=output):
        needs.identities(documents)
