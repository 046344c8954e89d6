"""A development cluster's token issuer: the one on this machine, where the overlay leaves room for it."""

from collections.abc import Sequence
from pathlib import Path

from pulsecart.local import issuer as dev_issuer
from tools.deploy.cluster import Object, references

NAME = "pulsecart-issuer"


def published(documents: Sequence[Object], namespace: str, jwks: Path) -> list[dict[str, object]]:
    """
    The ConfigMap of its public key, where an operation refers to it and the overlay does not bring it; else nothing.

    Raises:
        NoIssuer: the newest key of ``jwks``' directory is none of its own.
    """
    referred = {one["name"] for one in references(documents, "configMapRef")}
    if NAME not in referred or any(_is(document) for document in documents):
        return []
    settings = {"JWT_PUBLIC_KEY": dev_issuer.public_key(jwks), "JWT_ISSUER": dev_issuer.ISSUER}
    about = {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "pulsecart"}}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": settings}]


def _is(document: Object) -> bool:
    return (document["kind"], document["metadata"]["name"]) == ("ConfigMap", NAME)
