"""A browser's session cookie, which no script can read, and tickets that work once; never a JWT in a URL."""

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
    A ``Set-Cookie`` value that says who the browser is.

    Raises:
        Unavailable: SESSION_SECRET is missing or too short, so that nobody could trust it.
    """
    from pulsecart.serving.tokens import SESSION_S, issue_session  # 8 MB that a shop without sessions does not pay

    try:
        session = issue_session(buyer_id, deps.settings, deps.clock.now())
    except MissingSetting as error:
        raise Unavailable("no-sessions-here", f"{error}.", retry_after_s=60) from None
    return set_cookie("session", session, SESSION_S, deps.settings)


def no_cookie(deps: Deps) -> str:
    """A ``Set-Cookie`` value that takes the session's away."""
    return set_cookie("session", "", 0, deps.settings)


async def issue_ticket(buyer: Caller, deps: Deps) -> str:
    """
    A random word that opens one stream of this buyer's, within TICKET_S seconds; the stream ends with the session or
    token that the ticket was made with. Raises RedisError.
    """
    ticket = secrets.token_urlsafe(32)
    await deps.redis.set(TICKET_KEY + ticket, f"{buyer.expires_s} {buyer.subject}", ex=TICKET_S)
    return ticket


async def spend_ticket(ticket: str, deps: Deps) -> Caller | None:
    """Whose ticket this was, None where it is unknown, too old or already spent; raises RedisError."""
    if not ticket or len(ticket) > TICKET_MAX:
        return None
    kept: Any = await deps.redis.getdel(TICKET_KEY + ticket)
    expires_s, _, subject = kept.decode().partition(" ") if kept else ("", "", "")
    return Caller(subject, frozenset({CUSTOMER_ROLE}), float(expires_s)) if subject else None
