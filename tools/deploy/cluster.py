"""Queries the cluster through kubectl and KUBECONFIG."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tools.deploy.time_budget import LEAST_S, time_budget

Object = Mapping[str, Any]
AGAIN_S = 1.0
# kubectl's messages for an API server that is slow rather than absent. Every query here can be retried.
SLOW = (
    "TLS handshake timeout",
    "i/o timeout",
    "context deadline exceeded",
    "request timed out",
    "Client.Timeout exceeded",
    "unable to return a response in the time allotted",
    "the server is currently unable to handle the request",
)


class CannotDeploy(Exception):
    """The deployment cannot continue; the message has sentences on what is missing and what to do."""


def kubectl(*arguments: str, given: str | None = None) -> str:
    """
    Args:
        given: kubectl's standard input.

    Raises:
        CannotDeploy: kubectl failed (with its message), or the time of --timeout is over.
    """
    while True:
        done = _asked(arguments, given)
        if not done.returncode:
            return done.stdout
        if time_budget.left_s <= AGAIN_S or not any(sign in done.stderr for sign in SLOW):
            raise CannotDeploy(done.stderr.strip() or f"kubectl {' '.join(arguments)} failed")
        time.sleep(AGAIN_S)


def _asked(arguments: tuple[str, ...], given: str | None) -> "subprocess.CompletedProcess[str]":
    wait_s = max(time_budget.left_s, LEAST_S)
    try:
        return subprocess.run(
            ["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=wait_s, check=False
        )
    except FileNotFoundError:
        raise CannotDeploy("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/") from None
    except subprocess.TimeoutExpired:
        raise CannotDeploy(
            f"the cluster did not answer `kubectl {' '.join(arguments[:3])}` within the {time_budget.timeout_s:.0f} s "
            "of --timeout"
        ) from None


def references(node: object, *kinds: str) -> Iterator[Object]:
    """Yield the values of all members of ``node`` with these names, e.g. ``secretRef``, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in kinds:
                yield value
            else:
                yield from references(value, *kinds)
    elif isinstance(node, list | tuple):
        for one in node:
            yield from references(one, *kinds)


def listed(kinds: str, namespace: str, *more: str) -> list[Object]:
    """
    Args:
        kinds: as for ``kubectl get``: ``pods,jobs``.
    """
    return list(json.loads(kubectl("get", kinds, "-n", namespace, "-o", "json", *more))["items"])


def found(kind: str, name: str, namespace: str = "") -> Object | None:
    """Return the object; None when it does not exist."""
    where = ("-n", namespace) if namespace else ()
    output = kubectl("get", kind, name, *where, "--ignore-not-found", "-o", "json")
    return dict(json.loads(output)) if output.strip() else None


def named(thing: Object) -> str:
    """Return the kind and name, e.g. ``Service checkout``."""
    return f"{thing['kind']} {thing['metadata']['name']}"


def condition(thing: Object, type: str = "Ready") -> Object:
    """Return the condition; ``{"status": "Unknown"}`` when absent or stated for an older version of the object."""
    status = thing.get("status") or {}
    if status.get("observedGeneration", thing["metadata"].get("generation")) != thing["metadata"].get("generation"):
        return {"status": "Unknown", "message": "its last change is not processed yet"}
    for one in status.get("conditions", ()):
        if one["type"] == type:
            return dict(one)
    return {"status": "Unknown"}
