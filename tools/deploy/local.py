"""Detects clusters on this machine: the demo, which accepts unsigned buyers, is not deployed elsewhere by default."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pulsecart.runtime.settings import DEMO_ON_A_CLUSTER
from tools.deploy.cluster import CannotDeploy, Object, kubectl, references

DEMO_ANYWHERE = "--demo-on-this-cluster"
# Names of this machine in Docker Desktop and in hosts files.
LOOPBACK_NAMES = frozenset(("localhost", "host.docker.internal", "kubernetes.docker.internal"))
BELIEVES = "ACCEPT_UNSIGNED_BUYERS"
YES = frozenset(("true", "1", DEMO_ON_A_CLUSTER))


def check(documents: Sequence[Object], *, own: bool) -> str | None:
    """
    Args:
        own: the overlay is the project's own demo, not a user's overlay for this cluster.

    Returns:
        A warning if a user's overlay accepts unsigned buyers on a cluster elsewhere.

    Raises:
        CannotDeploy: the overlay is the project's demo, and the cluster is neither kind's nor on this machine.
    """
    if not is_demo(documents):
        return None
    context, server = current()
    if is_local(context, server):
        return None
    where = f"The current cluster (context {context or 'none'}, server {server or 'unknown'})"
    if not own:
        return f"this overlay accepts buyers without a token (ACCEPT_UNSIGNED_BUYERS). {where} is not on this machine."
    raise CannotDeploy(
        "overlays/kind is a demo: it accepts buyers without a token, and its Secrets are public. "
        f"{where} is neither kind's nor on this machine. Give --overlay with an overlay for that cluster, select "
        f"another cluster with KUBECONFIG or `kubectl config use-context`, or add {DEMO_ANYWHERE}."
    )


def is_demo(documents: Sequence[Object]) -> bool:
    """Whether any setting of the overlay accepts unsigned buyers."""
    for document in documents:
        if document["kind"] == "ConfigMap" and _is_yes((document.get("data") or {}).get(BELIEVES)):
            return True
        if any(_is_yes(value) for value in _given(document)):
            return True
    return False


def current() -> tuple[str, str]:
    """Return the current context's name and its server's URL; each is empty if kubectl has none."""
    found: Mapping[str, object] = json.loads(kubectl("config", "view", "--minify", "-o", "json") or "{}")
    servers = [str(one.get("server", "")) for one in references(found, "cluster") if isinstance(one, dict)]
    return str(found.get("current-context") or ""), next(filter(None, servers), "")


def is_local(context: str, server: str) -> bool:
    """
    Whether ``server`` is a loopback address, or the control plane of the kind cluster that ``context`` names. A private
    address is not local: many production clusters have one.
    """
    host = (urlsplit(server).hostname or "").rstrip(".")
    if context.startswith("kind-") and host == f"{context.removeprefix('kind-')}-control-plane":
        return True
    if host in LOOPBACK_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _given(document: Object) -> Iterator[object]:
    for variables in references(document, "env"):
        listed: Any = variables
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and one.get("name") == BELIEVES:
                yield one.get("value")


def _is_yes(value: object) -> bool:
    return str(value).strip().lower() in YES
