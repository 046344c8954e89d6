"""The issuer's public keys: one that is configured, or those it publishes, fetched when they are needed."""

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
FRESH_S = 600.0  # then they are fetched again, so that a withdrawn key ends
REFETCH_S = 10.0  # at least, between two fetches, whatever tokens come
FETCH_TIMEOUT_S = 5.0
JWKS_MAX_BYTES = 262_144
KEYS_MAX = 64
RSA_BITS = range(2048, 16_385)
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


class UnusableKey(Exception):
    """A private or weak key, or an answer that would have to be unpacked."""


class TooManyKeys(Exception):
    """The issuer's answer has more than JWKS_MAX_BYTES."""


@dataclass(frozen=True, slots=True)
class Key:
    """``algorithm`` is the only one it is meant for; None: any of its ``kind``."""

    public: Any
    kind: str
    algorithm: str | None = None

    def fits(self, algorithm: str) -> bool:
        """Whether a token of this algorithm may be verified by it."""
        if KINDS.get(algorithm) != self.kind or self.algorithm not in (None, algorithm):
            return False
        return self.kind != "EC" or self.public.curve.name == CURVES[algorithm]


class ConfiguredKey:
    """
    Raises:
        MissingSetting: the PEM is no public key.
    """

    def __init__(self, pem: str) -> None:
        try:
            public = load_pem_public_key(pem.replace("\\n", "\n").encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MissingSetting(f"JWT_PUBLIC_KEY is no public key in PEM: {error}") from None
        kinds = {RSAPublicKey: "RSA", EllipticCurvePublicKey: "EC", Ed25519PublicKey: "OKP"}
        kind = next((name for type_, name in kinds.items() if isinstance(public, type_)), "")
        self._key = Key(public, kind)
        if not kind:
            raise MissingSetting("JWT_PUBLIC_KEY is none of RSA, EC and Ed25519")
        if (weak := weakness(public)) is not None:
            raise MissingSetting(f"JWT_PUBLIC_KEY {weak}")

    def check(self, algorithms: Sequence[str]) -> None:
        """
        Raises:
            MissingSetting: it can verify none of them.
        """
        if not any(self._key.fits(algorithm) for algorithm in algorithms):
            raise MissingSetting(f"JWT_ALGORITHMS={','.join(algorithms)} does not fit the key of JWT_PUBLIC_KEY")

    async def find(self, kid: str | None, now_s: float) -> Key | None:
        """The key, whatever id a token gives it."""
        return self._key


class PublishedKeys:
    """
    A JWKS (RFC 7517), fetched once however many ask, and again when a key is missing or all are old. ``file:`` is one
    on this machine.
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
        The key of that id; without one, the only key there is. None where the issuer has no such key.

        Raises:
            Unavailable: it is not known here, and the issuer cannot be asked.
        """
        key = self._known(kid)
        if key is not None and self._tried_s > self._fetched_s:  # the issuer was away: nobody waits for it twice
            self._look_again(now_s)
        elif key is None or now_s - self._fetched_s > FRESH_S:
            await self._fetch(now_s)
            key = self._known(kid)
        if key is None and self._tried_s > self._fetched_s:
            raise Unavailable("issuer-unavailable", "The issuer's keys cannot be fetched; try again shortly.", 10)
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
            except Exception as error:  # whatever it answered, the keys we have stay good
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
                continue  # a secret, or a key for encryption
            keys[document.get("kid")] = _key_of(document)
        except Exception as error:  # whatever it is, the others stay good
            log.warning("the issuer publishes a key that cannot be used: %s", type(error).__name__)
    return keys


def _key_of(document: dict[str, Any]) -> Key:
    public = jwt.PyJWK(document).key
    if "d" in document or weakness(public) is not None:
        raise UnusableKey
    return Key(public, document["kty"], document.get("alg"))


def weakness(public: Any) -> str | None:
    """Why a key proves nothing, or would take seconds to verify with; None where it is good."""
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        return f"has {public.key_size} bits; {RSA_BITS[0]} to {RSA_BITS[-1]} are needed"
    return None


async def _read(url: str) -> bytes:
    if url.startswith("file:"):
        return await asyncio.to_thread(_read_file, Path(url2pathname(urlsplit(url).path)))
    import httpx

    said = bytearray()
    asked = {"accept": "application/json", "accept-encoding": "identity"}  # what is unpacked could be of any size
    async with (
        asyncio.timeout(FETCH_TIMEOUT_S),
        httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers=asked) as answer,
    ):
        answer.raise_for_status()  # a redirect, too: keys come from the address that was configured
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UnusableKey
        async for chunk in answer.aiter_raw():
            said += chunk
            _bound(said)
    return bytes(said)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        said = file.read(JWKS_MAX_BYTES + 1)
    _bound(said)
    return said


def _bound(said: bytes | bytearray) -> None:
    if len(said) > JWKS_MAX_BYTES:
        raise TooManyKeys


class NoKeys:
    """Nobody's tokens are accepted here."""

    async def find(self, kid: str | None, now_s: float) -> Key | None:
        """
        Raises:
            Unauthorized: always, and says what to configure.
        """
        raise Unauthorized(
            "bad-token", "The token is not valid: no issuer is configured here (JWT_JWKS_URL, JWT_PUBLIC_KEY)."
        )
