"""scripts/pins fetches digests of images and checksums of manifests, here from a simulated registry and host."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.kubectl import need_kubectl
from tools.deploy import pins
from tools.deploy.registry import parts
from tools.operations_table import ROOT

MANIFEST = b'{"schemaVersion":2,"manifests":[]}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
CRDS = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: knative-serving}\n"


class Hosts(ThreadingHTTPServer):
    """Simulates a registry that gives a token to every client, and a host of manifests."""

    asked: list[str]
    manifest = CRDS
    away: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hosts

    def do_GET(self) -> None:
        path = self.path
        self.server.asked.append(path)
        if path.startswith("/v2/") and self.headers.get("Authorization") != "Bearer anybody":
            scope = f"repository:{path.split('/manifests/')[0][4:]}:pull"
            challenge = f'Bearer realm="{self.server.url}/token",service="registry",scope="{scope}"'
            self._answer(401, b"{}", ("WWW-Authenticate", challenge))
        elif any(part in path for part in self.server.away):
            self._answer(404, b"{}")
        elif path.startswith("/token?"):
            self._answer(200, json.dumps({"token": "anybody"}).encode())
        else:
            self._answer(200, MANIFEST if path.startswith("/v2/") else self.server.manifest)

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    with Hosts(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("PINS_REGISTRY", server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path: Path, hosts: Hosts) -> Path:
    """Provide the project's own files, with the simulated host's URL in place of Knative's."""
    for name in ("Dockerfile", "kind-cluster.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for place in ("k8s", "eventing"):
        shutil.copytree(ROOT / place, tmp_path / place)
    (tmp_path / pins.MANIFESTS).write_text(f"# head\n-  {hosts.url}/serving-crds.yaml\n")
    return tmp_path


def pinned(root: Path, *arguments: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tools.deploy.pins", "--root", str(root), *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_image_and_manifest_is_pinned_where_the_files_name_it(root: Path, hosts: Hosts) -> None:
    names = {one.name for one in pins.images(root)}
    assert names >= {
        "python:3.11.14-slim-bookworm",
        "postgres:18.1-bookworm",
        "valkey/valkey:9.0.0",
        "docker/dockerfile:1",
    }
    output: list[str] = []
    assert pins.write(root, output.append) == 0
    assert pins.unpinned(root) == []
    assert {one.pin for one in pins.images(root)} == {f"@{DIGEST}"}
    assert {one.name for one in pins.images(root)} == names
    assert f"FROM python:3.11.14-slim-bookworm@{DIGEST} AS packages\n" in (root / "Dockerfile").read_text()
    assert pins.manifests(root) == {f"{hosts.url}/serving-crds.yaml": hashlib.sha256(CRDS).hexdigest()}
    assert "/v2/library/postgres/manifests/18.1-bookworm" in hosts.asked
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert pins.write(root, output.append) == 0
    assert {path: path.read_bytes() for path in before} == before, "written again it is the same"


def test_what_cannot_be_reached_stays_as_it_is_and_is_said(root: Path, hosts: Hosts) -> None:
    hosts.away = ("valkey", "serving-crds")
    output: list[str] = []
    assert pins.write(root, output.append) == 2
    assert pins.unpinned(root) == ["valkey/valkey:9.0.0", f"{hosts.url}/serving-crds.yaml"]
    assert len([line for line in output if line.startswith("not pinned: ")]) == 2


def test_without_any_network_nothing_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINS_REGISTRY", "http://127.0.0.1:1")
    before = (root / "Dockerfile").read_text()
    done = pinned(root, "write")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (root / "Dockerfile").read_text() == before


@pytest.fixture
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a kubectl that records its arguments and the file that it should apply."""
    place = tmp_path_factory.mktemp("bin")
    (place / "kubectl").write_text(
        f'#!/bin/sh\necho "$@" >>{place}/called\ncat "$5" >>{place}/applied 2>/dev/null || true\n'
    )
    (place / "kubectl").chmod(0o755)
    return place


def test_a_pinned_manifest_is_applied_as_it_was_pinned(root: Path, hosts: Hosts, kubectl: Path) -> None:
    pins.write(root, lambda sentence: None)
    apply = ("kubectl", "--context", "kind-pulsecart", "apply", "-f", f"{hosts.url}/serving-crds.yaml")
    done = pinned(root, *apply, path=str(kubectl))
    assert (done.returncode, done.stderr) == (0, "")
    assert (kubectl / "applied").read_bytes() == CRDS
    hosts.manifest = CRDS + b"---\nkind: SomethingElse\n"
    done = pinned(root, *apply, path=str(kubectl))
    assert done.returncode == 1
    assert "differs from its pin" in done.stderr
    assert (kubectl / "applied").read_bytes() == CRDS, "nothing of the other was applied"


def test_an_unpinned_manifest_is_applied_with_a_warning(root: Path, hosts: Hosts, kubectl: Path) -> None:
    url = f"{hosts.url}/serving-crds.yaml"
    done = pinned(root, "kubectl", "--context", "kind-pulsecart", "apply", "-f", url, path=str(kubectl))
    assert done.returncode == 0
    assert f"warning: {url} is not pinned" in done.stderr
    assert (kubectl / "called").read_text() == f"--context kind-pulsecart apply -f {url}\n"


def test_deploy_warns_of_an_image_without_a_digest_and_of_none_with_one(root: Path) -> None:
    need_kubectl("overlays are not built")
    build = ["kubectl", "kustomize", str(root / "k8s/overlays/kind")]
    documents = list(yaml.safe_load_all(subprocess.run(build, capture_output=True, check=True).stdout))
    assert pins.in_overlay(documents) == ["postgres:18.1-bookworm", "valkey/valkey:9.0.0"]
    pins.write(root, lambda sentence: None)
    documents = list(yaml.safe_load_all(subprocess.run(build, capture_output=True, check=True).stdout))
    assert pins.in_overlay(documents) == []


def test_the_manifests_are_those_that_the_tiltfile_installs() -> None:
    text = (ROOT / "Tiltfile").read_text()
    for url in pins.manifests(ROOT):
        release, _, file = url.rpartition("/")
        assert release.rpartition("/")[2] in text
        assert file.removesuffix(".yaml") in text
    assert len(pins.manifests(ROOT)) == 7


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("postgres:18", ("registry-1.docker.io", "library/postgres", "18")),
        ("valkey/valkey:9.0.0", ("registry-1.docker.io", "valkey/valkey", "9.0.0")),
        ("docker.io/library/python:3", ("registry-1.docker.io", "library/python", "3")),
        ("gcr.io/knative-releases/x:v1", ("gcr.io", "knative-releases/x", "v1")),
        ("localhost:5000/a/b:c", ("localhost:5000", "a/b", "c")),
    ],
)
def test_an_image_s_name_says_which_registry_has_it(image: str, expected: tuple[str, str, str]) -> None:
    assert parts(image) == expected
