"""Reads an overlay, sets its image, and applies it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.deploy.cluster import CannotDeploy, Object, condition, found, kubectl
from tools.deploy.image import NAME

JOBS_IMAGE = f"{NAME}-migrations"


def read(directory: Path) -> list[dict[str, Any]]:
    """
    Return every object of the overlay.

    Raises:
        CannotDeploy: kustomize rejects the overlay.
    """
    documents = [one for one in yaml.safe_load_all(kubectl("kustomize", str(directory))) if one]
    for document in documents:
        if document["kind"] == "Secret":  # kustomize breaks long values into lines, so each apply would change them
            data = document.get("data") or {}
            document["data"] = {key: "".join(str(value).split()) for key, value in data.items()}
    return documents


def namespace_of(documents: Sequence[Object]) -> str:
    """
    Raises:
        CannotDeploy: the operations are in several namespaces, or in none.
    """
    names = {str(one["metadata"].get("namespace", "default")) for one in documents if _is_service(one)}
    if len(names) != 1:
        raise CannotDeploy(f"the overlay's operations are in {len(names)} namespaces; they must be in one")
    return names.pop()


def with_image(documents: Sequence[dict[str, Any]], image: str, namespace: str) -> list[dict[str, Any]]:
    """
    Return the documents with ``image`` on all containers of the shop, without Jobs that are complete on the cluster:
    a Job is immutable, so a later release of the same Job, with another image or command, could not be applied. A
    failed Job, or an incomplete one with another image, is deleted, so that it is created again.
    """
    kept = []
    for document in documents:
        ours = [one for one in containers(document) if _is_ours(str(one.get("image", "")))]
        there = found("job", document["metadata"]["name"], namespace) if ours and document["kind"] == "Job" else None
        if there is not None and _is(there, "Complete"):
            continue
        if there is not None and (_image(there) != image or _is(there, "Failed")):
            kubectl("delete", "job", document["metadata"]["name"], "-n", namespace)
        for container in ours:
            container["image"] = image
        kept.append(document)
    return kept


def apply(documents: Sequence[Object]) -> list[str]:
    """
    Returns:
        kubectl's line for each object, e.g. ``service.serving.knative.dev/pay configured``.
    """
    in_order = sorted(documents, key=lambda document: document["kind"] != "Namespace")  # the rest keep their order
    given = yaml.safe_dump_all(in_order, sort_keys=False)
    return kubectl("apply", "-f", "-", given=given).strip().splitlines()


def _is(job: Object, type: str) -> bool:
    return bool(condition(job, type)["status"] == "True")


def _image(job: Object) -> str:
    return str(job["spec"]["template"]["spec"]["containers"][0]["image"])


def _is_ours(image: str) -> bool:
    return image.rpartition("/")[2].partition(":")[0] in (NAME, JOBS_IMAGE)


def _is_service(document: Object) -> bool:
    return document["kind"] == "Service" and str(document["apiVersion"]).startswith("serving.knative.dev/")


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the containers of every pod that ``node`` describes, including init containers."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("containers", "initContainers") and isinstance(value, list):
                yield from value
            else:
                yield from containers(value)
    elif isinstance(node, list):
        for one in node:
            yield from containers(one)
