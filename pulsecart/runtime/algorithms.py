"""The signature algorithms that a token may have, and the kind of key that verifies each (RFC 7518, RFC 8037)."""

from typing import Final

# Public keys only: one of them can then never be taken for an HMAC secret.
KINDS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}


def named(names: str) -> tuple[str, ...]:
    """The algorithms of a comma-separated list, as they are written there."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
