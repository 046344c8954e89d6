"""Lists the signature algorithms accepted for tokens, and the key type that verifies each (RFC 7518, RFC 8037)."""

from typing import Final

# Asymmetric algorithms only: a public key can then never be mistaken for an HMAC secret.
KINDS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}


def named(names: str) -> tuple[str, ...]:
    """Split a comma-separated list of algorithms; the names stay as written."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
