"""Defines an Idempotency-Key and its first reply as values."""

from msgspec import Struct


class Key(Struct, frozen=True):
    """Identifies an Idempotency-Key by ``scope`` (caller, method, path, key) and its request by ``payload_hash``."""

    scope: bytes
    payload_hash: bytes
    text: str = ""


class Stored(Struct, frozen=True):
    """Holds the first reply to an Idempotency-Key."""

    order_id: str
    payload_hash: bytes
    status: int
    body: str
