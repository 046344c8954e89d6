"""Provides the issuer's public keys: a configured key, or the published ones, fetched when needed."""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pulsecart.runtime.algorithms import KINDS
from pulsecart.runtime.problem import Unauthorized, Unavailable
from pulsecart.runtime.settings import MissingSetting
from pulsecart.runtime.telemetry import metrics

log = logging.getLogger(__name__)
FRESH_S = 600.0  # older keys are stale and fetched again, so that withdrawn keys expire
REFETCH_S = 10.0  # minimum between two fetches, whatever tokens arrive
FETCH_TIMEOUT_S = 5.0
SUCCESS = range(200, 300)
JWKS_MAX_BYTES = 262_144
KEYS_MAX = 64
RSA_BITS = range(2048, 16_385)
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


class UnusableKey(Exception):
    """A key is private or weak."""


class UnusableReply(Exception):
    """The issuer's reply is no success, or it is compressed."""


class TooManyKeys(Exception):
    """The issuer's reply has more than JWKS_MAX_BYTES."""


@dataclass(frozen=True, slots=True)
class Key:
    """Holds one public key; ``algorithm`` is the only permitted one, None permits any of its ``kind``."""

    public: Any
    kind: str
    algorithm: str | None = None

    def fits(self, algorithm: str) -> bool:
        """Return whether the key may verify tokens of ``algorithm``."""
        if KINDS.get(algorithm) != self.kind or self.algorithm not in (None, algorithm):
            return False
        return self.kind != "EC" or self.public.curve.name == CURVES[algorithm]


class ConfiguredKey:
    """
    Provides the key of JWT_PUBLIC_KEY.

    Raises:
        MissingSetting: the PEM is no public key.
    """

    def __init__(self, pem: str) -> None:
        try:
            public = load_pem_public_key(pem.replace("\\n", "\n").encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MissingSetting(f"JWT_PUBLIC_KEY is not a public key in PEM: {error}") from None
        kinds = {RSAPublicKey: "RSA", EllipticCurvePublicKey: "EC", Ed25519PublicKey: "OKP"}
        kind = next((name for type_, name in kinds.items() if isinstance(public, type_)), "")
        self._key = Key(public, kind)
        if not kind:
            raise MissingSetting("JWT_PUBLIC_KEY is not an RSA, EC or Ed25519 key")
        if (weak := weakness(public)) is not None:
            raise MissingSetting(f"JWT_PUBLIC_KEY {weak}")

    def check(self, algorithms: Sequence[str]) -> None:
        """
        Check that the key fits one of ``algorithms``.

        Raises:
            MissingSetting: it fits none of them.
        """
        if not any(self._key.fits(algorithm) for algorithm in algorithms):
            raise MissingSetting(f"JWT_ALGORITHMS={','.join(algorithms)} does not fit the key of JWT_PUBLIC_KEY")

    async def find(self, kid: str | None, now_s: float) -> Key | None:
        """Return the key, whatever ``kid`` the token names."""
        return self._key


class PublishedKeys:
    """
    Provides the keys of a JWKS (RFC 7517), given by an http, https or ``file:`` URL.

    Concurrent callers share one fetch; it is repeated when a key is missing or the cached keys are stale.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._refetch_s = 0.0 if url.startswith("file:") else REFETCH_S
        self._by_kid: dict[str | None, Key] = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._fetching = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, now_s: float) -> Key | None:
        """
        Return the key with id ``kid``, or without an id the only key; None if the issuer has no such key.

        Raises:
            Unavailable: the key is not cached, and the issuer's keys cannot be fetched.
        """
        key = self._known(kid)
        if key is not None and self._tried_s > self._fetched_s:  # the last fetch failed: do not wait for the next
            self._look_again(now_s)
        elif key is None or now_s - self._fetched_s > FRESH_S:
            await self._fetch(now_s)
            key = self._known(kid)
        if key is None and self._tried_s > self._fetched_s:
            raise Unavailable("issuer-unavailable", "The issuer's keys cannot be fetched. Try again shortly.", 10)
        return key

    def _known(self, kid: str | None) -> Key | None:
        if kid is None and len(self._by_kid) == 1:
            return next(iter(self._by_kid.values()))
        return self._by_kid.get(kid)

    def _look_again(self, now_s: float) -> None:
        if now_s - self._tried_s >= self._refetch_s and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._fetch(now_s), context=Context())

    async def _fetch(self, now_s: float) -> None:
        async with self._fetching:
            if now_s - self._tried_s < self._refetch_s:
                return
            self._tried_s = now_s
            began = time.perf_counter()
            try:
                self._by_kid = await _published(self._url)
                self._fetched_s = now_s
                metrics.outside_call("jwks", "FETCHED", began)
            except Exception as error:  # whatever the failure, the cached keys stay valid
                metrics.outside_call("jwks", "ERROR", began)
                log.warning("the issuer's keys cannot be fetched from %s: %s", self._url, type(error).__name__)


async def _published(url: str) -> dict[str | None, Key]:
    keys: dict[str | None, Key] = {}
    documents = json.loads(await _read(url))["keys"]
    if len(documents) > KEYS_MAX:
        log.warning("the issuer publishes %d keys; the first %d are used", len(documents), KEYS_MAX)
    for document in documents[:KEYS_MAX]:
        try:
            if document.get("kty") not in KINDS.values() or document.get("use", "sig") != "sig":
                continue  # a symmetric key, or one for encryption
            keys[document.get("kid")] = _key_of(document)
        except Exception as error:  # one bad key must not disable the others
            log.warning("the issuer publishes a key that cannot be used: %s", type(error).__name__)
    return keys


def _key_of(document: dict[str, Any]) -> Key:
    public = jwt.PyJWK(document).key
    if "d" in document or weakness(public) is not None:
        raise UnusableKey
    return Key(public, document["kty"], document.get("alg"))


def weakness(public: Any) -> str | None:
    """Return why a key is too weak, or so long that verifying takes seconds; None if it is usable."""
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        return f"has {public.key_size} bits; {RSA_BITS[0]} to {RSA_BITS[-1]} are needed"
    return None


async def _read(url: str) -> bytes:
    if url.startswith("file:"):
        return await asyncio.to_thread(_read_file, Path(url2pathname(urlsplit(url).path)))
    from aiohttp import ClientSession, DummyCookieJar

    body = bytearray()
    headers = {"accept": "application/json", "accept-encoding": "identity"}  # unpacked data could have any size
    async with (
        asyncio.timeout(FETCH_TIMEOUT_S),
        ClientSession(
            cookie_jar=DummyCookieJar(), auto_decompress=False, trust_env=True
        ) as client,  # a proxy's address
        client.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status not in SUCCESS:  # a redirect is none: only the configured URL is trusted
            raise UnusableReply
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UnusableReply
        async for chunk in answer.content.iter_any():
            body += chunk
            _bound(body)
    return bytes(body)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(JWKS_MAX_BYTES + 1)
    _bound(body)
    return body


def _bound(body: bytes | bytearray) -> None:
    if len(body) > JWKS_MAX_BYTES:
        raise TooManyKeys


class NoKeys:
    """Rejects every token, where no issuer is configured."""

    async def find(self, kid: str | None, now_s: float) -> Key | None:
        """
        Reject the token.

        Raises:
            Unauthorized: always; the detail names the settings to configure.
        """
        raise Unauthorized(
            "bad-token", "The token is not valid: no issuer is configured (JWT_JWKS_URL, JWT_PUBLIC_KEY)."
        )
