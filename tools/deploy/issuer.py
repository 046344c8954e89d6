"""Gives a development cluster this machine's token issuer, if the overlay refers to an issuer it does not contain."""

from collections.abc import Sequence
from pathlib import Path

from pulsecart.local import issuer as dev_issuer
from tools.deploy.cluster import Object, references

NAME = "pulsecart-issuer"


def published(documents: Sequence[Object], namespace: str, jwks: Path) -> list[dict[str, object]]:
    """
    Return the ConfigMap with the issuer's public key, if an operation refers to it and the overlay lacks it; else [].

    Raises:
        NoIssuer: the newest key in the directory of ``jwks`` does not belong to this issuer.
    """
    referred = {one["name"] for one in references(documents, "configMapRef")}
    if NAME not in referred or any(_is(document) for document in documents):
        return []
    settings = {"JWT_PUBLIC_KEY": dev_issuer.public_key(jwks), "JWT_ISSUER": dev_issuer.ISSUER}
    about = {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "pulsecart"}}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": settings}]


def _is(document: Object) -> bool:
    return (document["kind"], document["metadata"]["name"]) == ("ConfigMap", NAME)
