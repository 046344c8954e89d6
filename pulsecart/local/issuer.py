"""
scripts/token: issues a signed token for the shop on this machine, with the development keys of its data directory.

The keys are in ``issuer/``, readable by their owner only, and the newest one signs. The shop trusts the keys in
``issuer/jwks.json``; a development cluster trusts the key that was the newest at the last scripts/deploy.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from pulsecart.admin.which_shop import DATA
from pulsecart.runtime.event import new_id
from pulsecart.serving.access import ROLES

ISSUER = "pulsecart-development"
ALGORITHM = "ES256"
KEPT = 2  # keys published: the signing key and the previous one, whose tokens are still in use
TTL_S = 3600
AUDIENCE = "pulsecart"  # the shop's default


class NoIssuer(Exception):
    """There is no issuer; the message states how to create one."""


def jwks_of(data: Path) -> Path:
    """Return the file with the keys that the shop on this data directory trusts."""
    return data / "issuer" / "jwks.json"


def ensure(jwks: Path) -> None:
    """Create the first key if there is none."""
    if not jwks.exists():
        jwks.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotate(jwks)


def rotate(jwks: Path) -> None:
    """Create a new signing key; tokens of the previous key stay valid until they expire, those of older keys do not."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = jwks.parent / f"{new_id()}.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for old in _keys(jwks)[:-KEPT]:
        old.unlink()
    new = jwks.with_suffix(".new")
    new.write_text(json.dumps({"keys": [_published(path) for path in _keys(jwks)]}))
    new.replace(jwks)


def token(jwks: Path, user: str, roles: Sequence[str], ttl: timedelta, audience: str, now: datetime) -> str:
    """
    Issue a token.

    Raises:
        NoIssuer: no shop was ever started on that directory.
    """
    if not (keys := _keys(jwks)):
        raise NoIssuer(f"there is no issuer in {jwks.parent}; start the shop once with ./scripts/up")
    claims = {"iss": ISSUER, "aud": audience, "sub": user, "roles": list(roles), "iat": now, "exp": now + ttl}
    return jwt.encode(claims, keys[-1].read_text(), algorithm=ALGORITHM, headers={"kid": keys[-1].stem})


def public_key(jwks: Path) -> str:
    """Return the PEM of the public signing key, created if there is none."""
    ensure(jwks)
    public = _private(_keys(jwks)[-1]).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _keys(jwks: Path) -> list[Path]:
    """Return the keys, oldest first: their names are UUIDv7."""
    return sorted(jwks.parent.glob("*.pem"))


def _private(pem: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NoIssuer(f"{pem} is not a valid key; remove it")
    return key


def _published(pem: Path) -> dict[str, str]:
    public: dict[str, str] = ECAlgorithm.to_jwk(_private(pem).public_key(), as_dict=True)
    return public | {"kid": pem.stem, "alg": ALGORITHM, "use": "sig"}


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    jwks = jwks_of(options.data.resolve())
    ttl = timedelta(seconds=options.ttl)
    try:
        if options.rotate:
            rotate(jwks) if jwks.exists() else ensure(jwks)
        made = token(jwks, options.user, options.role or ["customer"], ttl, options.audience, datetime.now(UTC))
    except NoIssuer as reason:
        sys.stderr.write(f"token: {reason}\n")
        return 2
    sys.stdout.write(made + "\n")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./scripts/token", description="Print a signed token for the shop on this machine, for development."
    )
    add = parser.add_argument
    add("--user", default="12345", help="the user of the token (12345)")
    add("--role", action="append", choices=sorted(ROLES), help="a role of the token; repeat for several (customer)")
    add(
        "--ttl",
        type=float,
        default=TTL_S,
        metavar="S",
        help="seconds until it expires; a negative number makes an expired token (3600)",
    )
    add("--audience", default=AUDIENCE, help="the audience of the token (%(default)s)")
    add("--rotate", action="store_true", help="create a new key first; tokens of the previous key stay valid")
    add("--data", type=Path, default=DATA, metavar="DIR", help="the shop's data directory (.data)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
