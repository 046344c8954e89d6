"""
Signs and verifies webhooks by Standard Webhooks 1.0.0: ``v1`` (HMAC-SHA256) and ``v1a`` (ed25519).

The signed text is ``{id}.{timestamp}.{body}``, byte by byte. Beside it the seed's ``X-BV-Signature`` is sent.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
BODY_SIGNATURE = "x-bv-signature"
SYMMETRIC, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
SYMMETRIC_BYTES = range(24, 65)
ED25519_BYTES = 32
TOLERANCE = timedelta(minutes=5)
SIGNATURES_MAX = 16  # in one header: each costs a computation for each secret

_ID = re.compile(r"[!-\-/-~]{1,255}")  # visible ASCII without the full stop, which delimits it in the signed text
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The message is not signed with a known secret, is too old, or lacks a header; the text says which."""


@dataclass(frozen=True, slots=True)
class Secret:
    """
    Holds one secret of a subscription.

    Args:
        text: ``whsec_…`` signs and verifies v1; ``whsk_…`` signs and verifies v1a, ``whpk_…`` only verifies it.
        key: its bytes; of a private key, the 32 that the public key is made from.

    Raises:
        ValueError: it is none of these.
    """

    text: str = field(repr=False)
    key: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.text))

    @property
    def is_symmetric(self) -> bool:
        """Return whether sender and receiver hold the same secret."""
        return self.text.startswith(SYMMETRIC)

    @property
    def public(self) -> str:
        """Return ``whpk_…``, which the receiver of v1a signatures needs."""
        if self.text.startswith(PUBLIC):
            return self.text
        return PUBLIC + b64encode(_private(self).public_key().public_bytes_raw()).decode()


def signature_headers(
    secrets: Sequence[Secret], message_id: str, timestamp: datetime, body: bytes
) -> tuple[tuple[str, str], ...]:
    """
    Return the headers of one attempt; the message's id stays over all attempts, the timestamp is the attempt's.

    Args:
        secrets: the newest first; several while they rotate, and each of them signs.
        timestamp: aware; of any time zone.

    Raises:
        ValueError: no secret can sign, the id has a full stop or is empty, or the timestamp is naive.
    """
    if not secrets or not _ID.fullmatch(message_id) or timestamp.tzinfo is None:
        raise ValueError("a signature needs a secret, an id of visible ASCII without a full stop, and an aware time")
    seconds = str(int(timestamp.timestamp()))
    text = _signed_text(message_id, seconds, body)
    headers = [(ID, message_id), (TIMESTAMP, seconds), (SIGNATURE, " ".join(_sign(one, text) for one in secrets))]
    newest = next((one for one in secrets if one.is_symmetric), None)
    if newest is not None:
        headers.append((BODY_SIGNATURE, hmac.digest(newest.key, body, "sha256").hex()))
    return tuple(headers)


def verify(
    secrets: Sequence[Secret],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """
    Verify a message that another party signed, and return its id.

    Args:
        headers: names in lower case.
        tolerance: how far the timestamp may be before or after ``now``.

    Raises:
        BadSignature: whatever is wrong.
    """
    message_id, seconds, signatures = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and seconds and signatures):
        raise BadSignature(f"The headers {ID}, {TIMESTAMP} and {SIGNATURE} are required.")
    if not _ID.fullmatch(message_id):
        raise BadSignature(f"{ID} must be up to 255 visible ASCII characters without a full stop.")
    if not _SECONDS.fullmatch(seconds):
        raise BadSignature(f"{TIMESTAMP} must be whole seconds since 1970.")
    if abs(now.timestamp() - int(seconds)) > tolerance.total_seconds():
        raise BadSignature(f"{TIMESTAMP} is too far from this server's time. Send the time of the attempt, in UTC.")
    text = _signed_text(message_id, seconds, body)
    given = signatures.split(" ", SIGNATURES_MAX)[:SIGNATURES_MAX]
    if not any(_is_among(secret, given, text) for secret in secrets):
        raise BadSignature("No signature was made with this secret, id, timestamp and body.")
    return message_id


def _signed_text(message_id: str, seconds: str, body: bytes) -> bytes:
    return f"{message_id}.{seconds}.".encode() + body


def _sign(secret: Secret, text: bytes) -> str:
    if secret.is_symmetric:
        return "v1," + b64encode(hmac.digest(secret.key, text, "sha256")).decode()
    return "v1a," + b64encode(_private(secret).sign(text)).decode()


def _is_among(secret: Secret, given: Sequence[str], text: bytes) -> bool:
    """Return whether one of the given signatures was made with this secret."""
    if not secret.is_symmetric:
        return any(_is_made_with(secret, one, text) for one in given)
    wanted = _sign(secret, text).encode()
    return any(hmac.compare_digest(wanted, one.encode("utf-8", "replace")) for one in given)


def _is_made_with(secret: Secret, given: str, text: bytes) -> bool:
    version, _, encoded = given.partition(",")
    if version != "v1a":
        return False
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(_key(secret.public)).verify(_decoded(encoded), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(secret: Secret) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not secret.text.startswith(PRIVATE):
        raise ValueError("only a private key (whsk_) signs v1a")
    return Ed25519PrivateKey.from_private_bytes(secret.key)


def _key(text: str) -> bytes:
    """Return the bytes of a secret; a private key is its 32 bytes, or these and the public key's 32."""
    prefix, _, encoded = text.partition("_")
    key = _decoded(encoded)
    fits = {
        SYMMETRIC: len(key) in SYMMETRIC_BYTES,
        PRIVATE: len(key) in (ED25519_BYTES, 2 * ED25519_BYTES),
        PUBLIC: len(key) == ED25519_BYTES,
    }
    if not fits.get(f"{prefix}_"):
        raise ValueError(
            f"a secret is {SYMMETRIC} and base64 of {SYMMETRIC_BYTES[0]} to {SYMMETRIC_BYTES[-1]} bytes, "
            f"or {PRIVATE} or {PUBLIC} and base64 of an ed25519 key"
        )
    return key[:ED25519_BYTES] if prefix == "whsk" else key


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or a character outside of ASCII
        raise ValueError("this is no base64") from None
