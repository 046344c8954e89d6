"""Only the operations that publish and pull can load google-cloud-pubsub, and they load it when they use it."""

import subprocess
import sys

import pytest

from pulsecart.bridges.pubsub import library
from pulsecart.processes import registry
from tests.wiring.test_secrets import reached
from tools.operations_table import ROOT

CLIENTS = ("pulsecart.bridges.pubsub.publisher", "pulsecart.bridges.pubsub.puller")


@pytest.mark.parametrize("name", registry.names())
def test_an_operation_reaches_the_library_only_if_it_publishes_or_pulls(name: str) -> None:
    found = [module for module in CLIENTS if module in reached(f"functions.{name}.main")]
    assert found == {"pubsub_publish": [CLIENTS[0]], "pubsub_pull": [CLIENTS[1]]}.get(name, [])


def test_a_process_with_all_operations_does_not_load_the_library() -> None:
    script = (
        "import sys; from pulsecart.processes import host, registry; registry.load_all();"
        " print([name for name in sys.modules if name.startswith(('google.cloud.pubsub', 'google.api', 'grpc'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_without_the_library_its_absence_is_known_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.installed()
    monkeypatch.setattr(library, "NAME", "google.no_such_package.at_all")
    assert not library.installed()
