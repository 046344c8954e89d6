"""Verifies the issuer's tokens by its public keys, and our own sessions; imported at the first token."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt

from pulsecart.runtime.algorithms import KINDS, named
from pulsecart.runtime.problem import Unauthorized
from pulsecart.runtime.settings import SECRET_MIN_BYTES, MissingSetting, Settings
from pulsecart.serving.access import CUSTOMER_ROLE, ROLES, Caller
from pulsecart.serving.bodies import ID_MAX, names_somebody
from pulsecart.serving.jwks import ConfiguredKey, NoKeys, PublishedKeys

LEEWAY_S = 10  # tolerance between the issuer's clock and ours
SESSION_AUDIENCE = "pulsecart-session"
SESSION_ROLES = frozenset({CUSTOMER_ROLE})
SESSION_S = 12 * 3600
TYPES = frozenset({"jwt", "at+jwt"})  # RFC 7519, RFC 9068; the issuer's ID and logout tokens are rejected
REMEMBERED = 4096  # verified tokens in the cache
Keys = ConfiguredKey | PublishedKeys | NoKeys
REMEMBER_S = 300  # maximum age in the cache; afterwards a token whose key was withdrawn is rejected


class Issuer:
    """
    Verifies the tokens of one issuer.

    Args:
        algorithms: that its tokens may have, of those with public keys.
        issuer: the tokens' ``iss``; None permits any.
    """

    def __init__(self, keys: Keys, algorithms: Sequence[str], audience: str, issuer: str | None) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._audience = audience
        self._issuer = issuer

    async def claims(self, token: str, now: datetime) -> dict[str, Any]:
        """
        Verify the token and return its claims.

        Raises:
            Unauthorized: the token is invalid; the detail gives the reason.
            Unavailable: the issuer's keys cannot be fetched, so the token cannot be verified.
        """
        header = _header(token)
        _check_type(header)
        algorithm = str(header.get("alg"))
        if algorithm not in self._algorithms:
            raise bad_token(f"its algorithm is not one of {', '.join(self._algorithms)}")
        kid = header.get("kid")
        key = await self._keys.find(kid if isinstance(kid, str) else None, now.timestamp())
        if key is None:
            raise bad_token("its key is not one of the issuer's")
        if not key.fits(algorithm):
            raise bad_token("its algorithm does not match its key")
        claims = _claims(token, key.public, algorithm, self._audience, self._issuer)
        _check_times(claims, now)
        return claims


class Verifier:
    """
    Verifies tokens by the issuer's published keys (JWT_JWKS_URL) or by one configured key (JWT_PUBLIC_KEY, PEM). One
    instance per process.

    Raises:
        MissingSetting: JWT_ALGORITHMS is empty or names an algorithm without public keys; JWT_PUBLIC_KEY is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        self._roles_claim = settings.jwt_roles_claim
        algorithms = _pinned(settings.jwt_algorithms)
        self._issuer = Issuer(_keys(settings), algorithms, settings.jwt_audience, settings.jwt_issuer or None)
        self._verified: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def caller(self, token: str, now: datetime) -> Caller:
        """
        Verify the token and return its caller: ``sub``, roles and expiry.

        Raises:
            Unauthorized: the token is invalid; the detail gives the reason.
            Unavailable: the issuer's keys cannot be fetched, so the token cannot be verified.
        """
        remembered = self._verified.get(token)
        if remembered is not None and now.timestamp() < remembered[1]:
            self._verified.move_to_end(token)
            return remembered[0]
        return self._remember(token, await self._issuer.claims(token, now), now)

    def _remember(self, token: str, claims: Mapping[str, Any], now: datetime) -> Caller:
        until = min(float(claims["exp"]) + LEEWAY_S, now.timestamp() + REMEMBER_S)
        roles = roles_in(claims, self._roles_claim)
        caller = Caller(str(claims["sub"]), roles, float(claims["exp"]))
        self._verified[token] = caller, until
        while len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        return caller


def roles_in(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """
    Return the known roles in a claim that holds one name or a list of names; other names are ignored.

    A token without the claim has the role customer; a token whose claim names none of our roles has none.
    """
    claimed = claims.get(claim, CUSTOMER_ROLE)
    names = claimed if isinstance(claimed, list) else [claimed]
    return ROLES & {name for name in names if isinstance(name, str)}


def issue_session(user_id: str, settings: Settings, now: datetime) -> str:
    """
    Create the value of cookie ``pulsecart_session``, valid for SESSION_S.

    Raises:
        MissingSetting: SESSION_SECRET is shorter than 32 bytes.
    """
    issued = int(now.timestamp())
    claims = {"sub": user_id, "aud": SESSION_AUDIENCE, "iat": issued, "exp": issued + SESSION_S}
    return jwt.encode(claims, _secret(settings), algorithm="HS256")


def read_session(session: str, settings: Settings, now: datetime) -> Caller:
    """
    Verify a session and return its buyer, with the role customer only: browsers attach cookies without user intent.

    Raises:
        Unauthorized: the session is not ours, or has expired.
    """
    if str(_header(session).get("alg")) != "HS256" or not _signs(settings):
        raise bad_token("it is not a session of this shop")
    claims = _claims(session, settings.session_secret, "HS256", SESSION_AUDIENCE, None)
    _check_times(claims, now)
    return Caller(str(claims["sub"]), SESSION_ROLES, float(claims["exp"]))


def bad_token(why: str) -> Unauthorized:
    """Create the error for an invalid token."""
    return Unauthorized("bad-token", f"The token is not valid: {why}.")


def _keys(settings: Settings) -> Keys:
    if settings.jwt_public_key:
        return ConfiguredKey(settings.jwt_public_key)
    return PublishedKeys(settings.jwt_jwks_url) if settings.jwt_jwks_url else NoKeys()


def _pinned(names: str) -> tuple[str, ...]:
    algorithms = named(names)
    if not algorithms or not set(algorithms) <= set(KINDS):
        raise MissingSetting(f"JWT_ALGORITHMS={names!r} must name some of {', '.join(KINDS)}")
    return algorithms


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise bad_token("it cannot be parsed") from None


def _check_type(header: Mapping[str, Any]) -> None:
    """Accept access tokens only; a token without ``typ``, which is optional in RFC 7519, counts as one."""
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
        raise bad_token(f"its typ is not one of {', '.join(sorted(TYPES))}")


def _claims(token: str, key: Any, algorithm: str, audience: str, issuer: str | None) -> dict[str, Any]:
    """Verify signature, audience and issuer, and return the claims; ``_check_times`` checks the times by our clock."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            options={
                "require": ["exp", "sub", "aud", *(["iss"] if issuer else [])],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise bad_token("it is for another audience") from None
    except jwt.InvalidIssuerError:
        raise bad_token("it is from another issuer") from None
    except jwt.MissingRequiredClaimError as error:
        raise bad_token(f"it lacks {error.claim}") from None
    except (jwt.PyJWTError, TypeError, ValueError):
        raise bad_token("its signature or its claims are wrong") from None
    if not claims["sub"]:
        raise bad_token("it lacks sub")
    if not names_somebody(claims["sub"]):
        raise bad_token(f"its sub is not 1 to {ID_MAX} printable ASCII characters without a space")
    return claims


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    now_s = now.timestamp()
    try:
        expires, begins = float(claims["exp"]), float(claims.get("nbf", 0))
    except (OverflowError, TypeError, ValueError):
        raise bad_token("its times are not numbers") from None
    if not math.isfinite(expires):
        raise bad_token("its times are not numbers")
    if not now_s < expires + LEEWAY_S:
        raise bad_token("it has expired")
    if not begins <= now_s + LEEWAY_S:
        raise bad_token("it is not valid yet")


def _signs(settings: Settings) -> bool:
    return len(settings.session_secret.encode()) >= SECRET_MIN_BYTES


def _secret(settings: Settings) -> str:
    if not _signs(settings):
        raise MissingSetting(f"SESSION_SECRET must have {SECRET_MIN_BYTES} bytes or more")
    return settings.session_secret
