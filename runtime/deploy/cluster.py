"""What is asked of the cluster, through kubectl and KUBECONFIG."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]
ASK_S = 60.0


class CannotDeploy(Exception):
    """One sentence, or several: what is missing, and what to do."""


def kubectl(*arguments: str, given: str | None = None) -> str:
    """
    Args:
        given: its standard input.

    Raises:
        CannotDeploy: with what kubectl said.
    """
    try:
        done = subprocess.run(
            ["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except FileNotFoundError:
        raise CannotDeploy("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/") from None
    except subprocess.TimeoutExpired:
        raise CannotDeploy(f"the cluster did not answer `kubectl {' '.join(arguments[:3])}` in {ASK_S:.0f} s") from None
    if done.returncode:
        raise CannotDeploy(done.stderr.strip() or f"kubectl {' '.join(arguments)} failed")
    return done.stdout


def references(node: object, *kinds: str) -> Iterator[Object]:
    """Wherever ``node`` names another object by one of these members, ``secretRef``: that member's value."""
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
    """The object, or None where there is none of that name."""
    where = ("-n", namespace) if namespace else ()
    said = kubectl("get", kind, name, *where, "--ignore-not-found", "-o", "json")
    return dict(json.loads(said)) if said.strip() else None


def named(thing: Object) -> str:
    """``Service checkout``"""
    return f"{thing['kind']} {thing['metadata']['name']}"


def condition(thing: Object, type: str = "Ready") -> Object:
    """``{"status": "Unknown"}`` where nobody has said anything yet, or only of an older version of the object."""
    status = thing.get("status") or {}
    if status.get("observedGeneration", thing["metadata"].get("generation")) != thing["metadata"].get("generation"):
        return {"status": "Unknown", "message": "its last change has not been looked at"}
    for one in status.get("conditions", ()):
        if one["type"] == type:
            return dict(one)
    return {"status": "Unknown"}
