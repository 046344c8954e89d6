"""Fetches the digest of an image from its registry, and the content of a URL."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ASK_S = 30.0
LARGEST = 64 * 1024 * 1024
DOCKER_HUB = "registry-1.docker.io"
# Prefers an index, which covers every architecture of the image.
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class Unreachable(Exception):
    """The host did not answer or refused; the message has the host and the reason."""


def digest(image: str) -> str:
    """
    Return the current digest of ``name:tag`` from its registry.

    Returns:
        ``sha256:…``, computed from the manifest itself.

    Raises:
        Unreachable: no answer, or the registry has no such image.
    """
    host, repository, tag = parts(image)
    url = f"{_base(host)}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(KINDS)}
    try:
        manifest = fetch(url, headers)
    except _Challenged as asked:
        manifest = fetch(url, headers | {"Authorization": f"Bearer {_token(asked.challenge)}"})
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def parts(image: str) -> tuple[str, str, str]:
    """``postgres:18`` → Docker Hub's host, ``library/postgres``, ``18``."""
    name, _, tag = image.rpartition(":")
    host, slash, rest = name.partition("/")
    if not slash or not (re.search(r"[.:]", host) or host == "localhost"):
        host, rest = DOCKER_HUB, name if slash else f"library/{name}"
    return (DOCKER_HUB if host == "docker.io" else host), rest, tag


def fetch(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """
    Raises:
        Unreachable: the answer is not 200, or has more than LARGEST bytes.
    """
    try:
        with urlopen(Request(url, headers=dict(headers or {})), timeout=ASK_S) as answer:  # noqa: S310  # URLs come from our files
            content: bytes = answer.read(LARGEST + 1)
    except HTTPError as refused:
        challenge = refused.headers.get("WWW-Authenticate", "")
        if refused.code == 401 and challenge.lower().startswith("bearer ") and "Authorization" not in (headers or {}):
            raise _Challenged(challenge) from None
        raise Unreachable(f"{url} answered {refused.code}") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"{url} cannot be fetched: {getattr(error, 'reason', error)}") from None
    if len(content) > LARGEST:
        raise Unreachable(f"{url} is larger than {LARGEST} bytes")
    return content


class _Challenged(Unreachable):
    """The registry requires a token first, even for anonymous reads (RFC 6750)."""

    def __init__(self, challenge: str) -> None:
        super().__init__(f"it requires a token: {challenge}")
        self.challenge = challenge


def _token(challenge: str) -> str:
    named = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = named.pop("realm", "")
    query = {name: value for name, value in named.items() if name in ("service", "scope")}
    try:
        answer = json.loads(fetch(f"{realm}?{urlencode(query)}"))
        return str(answer.get("token") or answer["access_token"])
    except (ValueError, KeyError, AttributeError):
        raise Unreachable(f"{realm} returned no token") from None


def _base(host: str) -> str:
    """Return the registry's URL; ``PINS_REGISTRY``, a mirror, replaces all registries."""
    return os.environ.get("PINS_REGISTRY", "").rstrip("/") or f"https://{host}"
