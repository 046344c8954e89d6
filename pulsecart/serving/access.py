"""Who may call a route: every route says it in one word, and the serving layer asks before its handler is called."""

from dataclasses import dataclass, field
from typing import Final

CUSTOMER_ROLE: Final = "customer"
ROLES: Final = frozenset({CUSTOMER_ROLE, "partner", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who asks, by their token or session.

    Args:
        roles: some of ROLES, or none.
        expires_s: when the token or session ends, in seconds since 1970.
    """

    subject: str
    roles: frozenset[str]
    expires_s: float = field(default=float("inf"), compare=False)


@dataclass(frozen=True, slots=True)
class Allow:
    """
    Args:
        roles: one of these is needed; None: nobody is asked who they are.
        owners: of ``roles``, those who may only where the thing is their own; the handler finds out
            (pulsecart/shop/policies).
        unsigned: in the demo (ACCEPT_UNSIGNED_BUYERS) also whoever shows neither token nor session.
        anonymous: everywhere also whoever shows neither; the thing is then for who knows its id.
        by_session: a session's cookie counts; not where sessions are made, for the old one may be over.
        by_ticket: a ticket may stand for both; the handler spends it.
        by_metrics_token: METRICS_TOKEN as a Bearer token is enough.
        counted: where nobody is asked who they are, an address is still held to RATE_LIMIT.
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

ANYBODY: Final = Allow(None)
ANYBODY_COUNTED: Final = Allow(None, counted=True)
CUSTOMER: Final = Allow(_OWNERS)
CART: Final = Allow(_OWNERS, anonymous=True)
SIGNING_IN: Final = Allow(_OWNERS, by_session=False)
OWNER: Final = Allow(frozenset({CUSTOMER_ROLE, "admin"}), _OWNERS)
OWNER_ALONE: Final = Allow(_OWNERS, _OWNERS, by_ticket=True)
OWNER_OR_PARTNER: Final = Allow(ROLES, _OWNERS)
PARTNER: Final = Allow(frozenset({"partner", "admin"}), unsigned=False)
ADMIN: Final = Allow(frozenset({"admin"}), unsigned=False)
ADMIN_OR_DEMO: Final = Allow(frozenset({"admin"}))
METRICS: Final = Allow(frozenset({"admin"}), by_session=False, by_metrics_token=True)
DEMO: Final = Allow(frozenset())
