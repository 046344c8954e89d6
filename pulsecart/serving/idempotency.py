"""Reads a request's Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) and Correlation-Id."""

from pulsecart.runtime.event import new_id
from pulsecart.runtime.first_replies import FirstReply, Key, key_reused
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.http import Reply, Request

KEY_MAX = 255


def key_of(request: Request, caller: str) -> Key | None:
    """
    Return the request's Idempotency-Key, scoped to caller, method and path; None if absent.

    Raises:
        Malformed: the key is too long or not printable.
    """
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not 0 < len(given) <= KEY_MAX or not (given.isascii() and given.isprintable()):
        raise Malformed(
            "idempotency-key-malformed", f"An Idempotency-Key has 1 to {KEY_MAX} printable characters of ASCII."
        )
    return Key.of(caller, request.method, request.path, given, request.body)


def required_key(request: Request, caller: str) -> Key:
    """
    Return the request's Idempotency-Key as ``key_of`` does.

    Raises:
        Malformed: the key is missing, too long or not printable.
    """
    key = key_of(request, caller)
    if key is None:
        raise Malformed("idempotency-key-missing", "Send an Idempotency-Key header: a new UUID for each new order.")
    return key


def first_again(first: FirstReply, key: Key | None, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """
    Return the first reply to a key.

    Raises:
        Unprocessable: the key came with another payload before.
    """
    if key is not None and not first.answers(key):
        raise key_reused()
    return Reply(first.status, first.body.encode(), headers=headers)


def correlation_of(request: Request) -> str:
    """Return the Correlation-Id of the request, or a new one if absent or invalid; the caller stores it there."""
    given = request.headers.get("correlation-id", "")
    return given if 0 < len(given) <= KEY_MAX and given.isprintable() else new_id()
