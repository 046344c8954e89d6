"""An Idempotency-Key and the first reply to it, as values."""

from msgspec import Struct


class Key(Struct, frozen=True):
    """An Idempotency-Key: ``scope`` (caller, method, path, key) names it, ``payload_hash`` what came with it."""

    scope: bytes
    payload_hash: bytes
    text: str = ""


class Stored(Struct, frozen=True):
    """The first reply to an Idempotency-Key."""

    order_id: str
    payload_hash: bytes
    status: int
    body: str
