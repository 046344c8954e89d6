"""Reads a request's Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) and Correlation-Id."""

from hashlib import sha256

from pulsecart.runtime.event import new_id
from pulsecart.runtime.first_replies import Key
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.http import Request

KEY_MAX = 255


def key_of(request: Request, caller: str, *, required: bool = False) -> Key | None:
    """
    Return the request's Idempotency-Key, scoped to caller, method and path; None if absent and not required.

    Raises:
        Malformed: the key is too long or not printable, or is required and missing.
    """
    given = request.headers.get("idempotency-key")
    if given is None:
        if required:
            raise Malformed("idempotency-key-missing", "Send an Idempotency-Key header: a new UUID for each new order.")
        return None
    if not 0 < len(given) <= KEY_MAX or not (given.isascii() and given.isprintable()):
        raise Malformed(
            "idempotency-key-malformed", f"An Idempotency-Key has 1 to {KEY_MAX} printable characters of ASCII."
        )
    return Key(scope_of(caller, request.method, request.path, given), sha256(request.body).digest(), given)


def scope_of(caller: str, method: str, path: str, key: str) -> bytes:
    """Return the hash that identifies an Idempotency-Key in the table of first replies."""
    return sha256("\0".join((caller, method, path, key)).encode()).digest()


def correlation_of(request: Request) -> str:
    """Return the Correlation-Id of the request, or a new one if absent or invalid; the caller stores it there."""
    given = request.headers.get("correlation-id", "")
    return given if 0 < len(given) <= KEY_MAX and given.isprintable() else new_id()
