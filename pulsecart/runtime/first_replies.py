"""Defines an Idempotency-Key and its first reply as values, and decides whether a request repeats the first one."""

from hashlib import sha256
from typing import Self

from msgspec import Struct

from pulsecart.runtime.problem import Refused, Unprocessable


class Key(Struct, frozen=True):
    """Identifies an Idempotency-Key by ``scope`` (caller, method, path, key) and its request by ``payload_hash``."""

    scope: bytes
    payload_hash: bytes
    text: str = ""

    @classmethod
    def of(cls, caller: str, method: str, path: str, text: str, payload: bytes) -> Self:
        """Return the key ``text`` of this caller for this route, with the fingerprint of its request's body."""
        return cls(scope_of(caller, method, path, text), sha256(payload).digest(), text)


class FirstReply(Struct, frozen=True):
    """Holds the first reply to an Idempotency-Key; purchases have an ``order_id``, catalogue changes a ``location``."""

    payload_hash: bytes
    status: int
    body: str
    order_id: str = ""
    location: str = ""

    def answers(self, key: Key) -> bool:
        """Return whether the key's request has the payload of the first one; otherwise the key was reused."""
        return self.payload_hash == key.payload_hash


def scope_of(caller: str, method: str, path: str, text: str) -> bytes:
    """Return the hash that identifies an Idempotency-Key in the tables of first replies."""
    return sha256("\0".join((caller, method, path, text)).encode()).digest()


def key_reused() -> Unprocessable:
    """Return the problem for a key that came with another payload before."""
    return Unprocessable(
        "idempotency-key-reused", "This Idempotency-Key was used before with another payload. Use a new key."
    )


def request_in_flight() -> Refused:
    """Return the problem for a key whose first request is still in flight."""
    return Refused(
        "request-in-flight",
        "The first request with this Idempotency-Key is still in flight. Repeat the request in a second.",
    )
