"""A development cluster trusts the issuer of this machine's scripts/token; production never does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pulsecart.local import issuer as dev_issuer
from pulsecart.runtime.settings import Settings
from pulsecart.serving.access import Caller
from pulsecart.serving.tokens import Verifier
from tests.kubectl import need_kubectl
from tools.deploy import issuer, overlay
from tools.operations_table import ROOT

OVERLAYS = ROOT / "k8s" / "overlays"


@pytest.fixture(autouse=True)
def kubectl_is_there() -> None:
    need_kubectl("overlays are not built")


@pytest.fixture
def kind() -> list[dict[str, Any]]:
    return overlay.read(OVERLAYS / "kind")


async def test_what_it_publishes_verifies_what_scripts_token_signs(kind: list[dict[str, Any]], tmp_path: Path) -> None:
    (config,) = issuer.published(kind, "pulsecart", dev_issuer.jwks_of(tmp_path))
    assert config["metadata"] == {
        "name": "pulsecart-issuer",
        "namespace": "pulsecart",
        "labels": {"app.kubernetes.io/part-of": "pulsecart"},
    }
    reported: Any = config["data"]
    now = datetime.now(UTC)
    signed = dev_issuer.token(dev_issuer.jwks_of(tmp_path), "7", ["admin"], timedelta(hours=1), "pulsecart", now)
    trusting = {"jwt_public_key": reported["JWT_PUBLIC_KEY"], "jwt_issuer": reported["JWT_ISSUER"]}
    settings = Settings(database_url="", redis_url="", **trusting)
    caller = await Verifier(settings).caller(signed, now)
    assert caller == Caller("7", frozenset({"admin"}))


def test_it_is_the_same_key_the_next_time(kind: list[dict[str, Any]], tmp_path: Path) -> None:
    first, again = (issuer.published(kind, "pulsecart", dev_issuer.jwks_of(tmp_path)) for _ in range(2))
    assert first == again


def test_a_shop_for_others_trusts_no_one_of_this_machine(tmp_path: Path) -> None:
    documents = overlay.read(OVERLAYS / "production")
    assert issuer.published(documents, "pulsecart", dev_issuer.jwks_of(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_an_overlay_that_brings_its_own_keeps_it(kind: list[dict[str, Any]], tmp_path: Path) -> None:
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pulsecart-issuer"}, "data": {}}
    assert issuer.published([*kind, own], "pulsecart", dev_issuer.jwks_of(tmp_path)) == []
