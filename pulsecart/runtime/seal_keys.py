"""Parses WEBHOOK_KEYS, the keys that seal secrets at rest; apart from the sealing, so that settings can check them."""

import binascii
from base64 import b64decode

KEY_BYTES = 32
MAKE_ONE = "openssl rand -base64 32"


def keys_of(text: str) -> list[bytes]:
    """
    Parse WEBHOOK_KEYS: base64 of 32 bytes each, separated by commas; empty for none.

    Raises:
        ValueError: a key is no base64 or has another length; the message does not contain it.
    """
    keys = []
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        try:
            key = b64decode(entry, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {number} is no base64: make one with `{MAKE_ONE}`") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} has {len(key)} bytes and not {KEY_BYTES}: make one with `{MAKE_ONE}`")
        keys.append(key)
    return keys
