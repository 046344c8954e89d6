"""Defines which callers each route permits: one constant per route, checked before the handler is called."""

from dataclasses import dataclass, field
from typing import Final

CUSTOMER_ROLE: Final = "customer"
ROLES: Final = frozenset({CUSTOMER_ROLE, "partner", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Identifies an authenticated caller.

    Args:
        roles: a subset of ROLES, possibly empty.
        expires_s: when the token or session expires, in seconds since 1970.
    """

    subject: str
    roles: frozenset[str]
    expires_s: float = field(default=float("inf"), compare=False)


@dataclass(frozen=True, slots=True)
class Allow:
    """
    Describes the callers that a route permits.

    Args:
        roles: the caller needs one of these; None: no authentication.
        owners: the subset of ``roles`` that may access only its own resources; the handler checks that
            (pulsecart/shop/policies).
        unsigned: in the demo (ACCEPT_UNSIGNED_BUYERS), permit callers without token and session.
        anonymous: always permit callers without token and session; the resource's id then grants access to it.
        by_session: accept a session cookie; false where sessions are created, because the old one may have expired.
        by_ticket: accept a ticket instead of token or session; the handler redeems it.
        by_metrics_token: accept METRICS_TOKEN as Bearer token.
        counted: without authentication, limit each client address to RATE_LIMIT.
    """

    roles: frozenset[str] | None
    owners: frozenset[str] = frozenset()
    unsigned: bool = True
    anonymous: bool = False
    by_session: bool = True
    by_ticket: bool = False
    by_metrics_token: bool = False
    counted: bool = False


_OWNERS = frozenset({CUSTOMER_ROLE})

PUBLIC: Final = Allow(None)
PUBLIC_RATE_LIMITED: Final = Allow(None, counted=True)
CUSTOMER: Final = Allow(_OWNERS)
CART: Final = Allow(_OWNERS, anonymous=True)
SIGNING_IN: Final = Allow(_OWNERS, by_session=False)
OWNER: Final = Allow(frozenset({CUSTOMER_ROLE, "admin"}), _OWNERS)
OWNER_ONLY: Final = Allow(_OWNERS, _OWNERS, by_ticket=True)
OWNER_OR_PARTNER: Final = Allow(ROLES, _OWNERS)
PARTNER: Final = Allow(frozenset({"partner", "admin"}), unsigned=False)
OWN_PARTNER: Final = Allow(frozenset({"partner", "admin"}), frozenset({"partner"}), unsigned=False)
PARTNER_ALONE: Final = Allow(frozenset({"partner"}), unsigned=False, by_session=False)
ADMIN: Final = Allow(frozenset({"admin"}), unsigned=False)
ADMIN_OR_DEMO: Final = Allow(frozenset({"admin"}))
METRICS: Final = Allow(frozenset({"admin"}), by_session=False, by_metrics_token=True)
DEMO: Final = Allow(frozenset())
