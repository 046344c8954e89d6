"""Issues the HttpOnly session cookie and single-use tickets for live streams, so that no JWT appears in a URL."""

import secrets
from typing import Any

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.settings import MissingSetting
from pulsecart.serving.access import CUSTOMER_ROLE, Caller
from pulsecart.serving.cookies import set_cookie

TICKET_S = 60
TICKET_KEY = "ticket:"
TICKET_MAX = 64


def cookie_for(buyer_id: str, deps: Deps) -> str:
    """
    Return a ``Set-Cookie`` value with a session for the buyer.

    Raises:
        Unavailable: SESSION_SECRET is missing or too short to sign sessions safely.
    """
    from pulsecart.serving.tokens import SESSION_S, issue_session  # a shop without sessions saves its 8 MB

    try:
        session = issue_session(buyer_id, deps.settings, deps.clock.now())
    except MissingSetting as error:
        raise Unavailable("no-sessions-here", f"{error}.", retry_after_s=60) from None
    return set_cookie("session", session, SESSION_S, deps.settings)


def no_cookie(deps: Deps) -> str:
    """Return a ``Set-Cookie`` value that deletes the session cookie."""
    return set_cookie("session", "", 0, deps.settings)


async def issue_ticket(buyer: Caller, deps: Deps) -> str:
    """
    Return a random ticket that opens one stream of this buyer within TICKET_S seconds.

    The stream ends when the session or token that requested the ticket expires. Raises RedisError.
    """
    ticket = secrets.token_urlsafe(32)
    await deps.redis.set(TICKET_KEY + ticket, f"{buyer.expires_s} {buyer.subject}", ex=TICKET_S)
    return ticket


async def spend_ticket(ticket: str, deps: Deps) -> Caller | None:
    """Use up a ticket and return its buyer, None if it is unknown, expired or used already; raises RedisError."""
    if not ticket or len(ticket) > TICKET_MAX:
        return None
    kept: Any = await deps.redis.getdel(TICKET_KEY + ticket)
    expires_s, _, subject = kept.decode().partition(" ") if kept else ("", "", "")
    return Caller(subject, frozenset({CUSTOMER_ROLE}), float(expires_s)) if subject else None
