"""A development cluster's token issuer: the one on this machine, where the overlay leaves room for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime import dev_issuer
from runtime.deploy.cluster import Object

NAME = "pulsecart-issuer"


def published(documents: Sequence[Object], namespace: str, jwks: Path) -> list[dict[str, object]]:
    """
    The ConfigMap of its public key, where an operation refers to it and the overlay does not bring it; else nothing.

    Raises:
        NoIssuer: the newest key of ``jwks``' directory is none of its own.
    """
    if NAME not in _referred(documents) or any(_is(document) for document in documents):
        return []
    settings = {"JWT_PUBLIC_KEY": dev_issuer.public_key(jwks), "JWT_ISSUER": dev_issuer.ISSUER}
    about = {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "pulsecart"}}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": settings}]


def _is(document: Object) -> bool:
    return (document["kind"], document["metadata"]["name"]) == ("ConfigMap", NAME)


def _referred(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "configMapRef":
                yield value["name"]
            else:
                yield from _referred(value)
    elif isinstance(node, list | tuple):
        for one in node:
            yield from _referred(one)
