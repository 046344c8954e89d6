"""
Seals secrets at rest with AES-256-GCM under the keys of WEBHOOK_KEYS: the first seals, each of them opens.

A sealed secret is: a version byte, 8 bytes that name its key (of the key's SHA-256), a nonce of 12 bytes, and the
ciphertext with its tag. It is bound to the id of its owner, so that a row's secret does not open in another row.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from pulsecart.runtime.seal_keys import MAKE_ONE, keys_of
from pulsecart.runtime.settings import MissingSetting

if TYPE_CHECKING:
    from pulsecart.runtime.deps import Deps

VERSION = b"\x01"
NAME_BYTES = 8
NONCE_BYTES = 12
HEAD_BYTES = len(VERSION) + NAME_BYTES + NONCE_BYTES


class CannotOpen(Exception):
    """A sealed secret was sealed with a key that WEBHOOK_KEYS lacks, for another owner, or was damaged."""


class Sealing:
    """
    Seals and opens secrets; one per process, ``deps.singleton(sealing)``.

    Args:
        keys: of 32 bytes; the first one seals.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {sha256(key).digest()[:NAME_BYTES]: key for key in keys}
        self._first = next(iter(self._keys))

    def seal(self, secret: str, owner: str) -> bytes:
        """Encrypt ``secret``; only ``open`` with the same owner's id returns it."""
        import os

        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head = VERSION + self._first + os.urandom(NONCE_BYTES)
        return head + AESGCM(self._keys[self._first]).encrypt(head[-NONCE_BYTES:], secret.encode(), _bound(head, owner))

    def open(self, sealed: bytes, owner: str) -> str:
        """
        Decrypt a sealed secret.

        Raises:
            CannotOpen: with the reason.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head, name = sealed[:HEAD_BYTES], sealed[len(VERSION) : len(VERSION) + NAME_BYTES]
        if len(head) < HEAD_BYTES or not head.startswith(VERSION):
            raise CannotOpen("this is no sealed secret")
        if name not in self._keys:
            raise CannotOpen(f"it was sealed with the key {name.hex()}, which WEBHOOK_KEYS lacks: add that key again")
        try:
            opened = AESGCM(self._keys[name]).decrypt(head[-NONCE_BYTES:], sealed[HEAD_BYTES:], _bound(head, owner))
        except InvalidTag:
            raise CannotOpen("it was sealed for another owner, or was damaged") from None
        return opened.decode()

    def is_newest(self, sealed: bytes) -> bool:
        """Return whether the key that seals now sealed it; otherwise open and seal it again, to retire the old key."""
        return sealed.startswith(VERSION + self._first)


def sealing(deps: "Deps") -> Sealing:
    """
    Create the process's Sealing, for ``deps.singleton``.

    Raises:
        MissingSetting: WEBHOOK_KEYS is not set.
    """
    keys = keys_of(deps.settings.webhook_keys)
    if not keys:
        raise MissingSetting(f"WEBHOOK_KEYS is not set: secrets cannot be stored. Make a key with `{MAKE_ONE}`")
    return Sealing(keys)


def _bound(head: bytes, owner: str) -> bytes:
    return head[:-NONCE_BYTES] + owner.encode()
