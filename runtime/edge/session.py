"""A browser's session cookie, which no script can read, and tickets that work once; never a JWT in a URL."""

import secrets
from typing import Any

from runtime.cookies import set_cookie
from runtime.deps import Deps
from runtime.settings import MissingSetting
from shop.problem import Unavailable

TICKET_S = 60
TICKET_KEY = "ticket:"
TICKET_MAX = 64


def cookie_for(buyer_id: str, deps: Deps) -> str:
    """
    A ``Set-Cookie`` value that says who the browser is.

    Raises:
        Unavailable: SESSION_SECRET is missing or too short, so that nobody could trust it.
    """
    from runtime.tokens import SESSION_S, issue_session  # 8 MB that a shop without sessions does not pay

    try:
        session = issue_session(buyer_id, deps.settings, deps.clock.now())
    except MissingSetting as error:
        raise Unavailable("no-sessions-here", f"{error}.", retry_after_s=60) from None
    return set_cookie("session", session, SESSION_S, deps.settings)


def no_cookie(deps: Deps) -> str:
    """A ``Set-Cookie`` value that takes the session's away."""
    return set_cookie("session", "", 0, deps.settings)


async def issue_ticket(buyer_id: str, deps: Deps) -> str:
    """A random word that opens one stream of this buyer's, within TICKET_S seconds; raises RedisError."""
    ticket = secrets.token_urlsafe(32)
    await deps.redis.set(TICKET_KEY + ticket, buyer_id, ex=TICKET_S)
    return ticket


async def spend_ticket(ticket: str, deps: Deps) -> str | None:
    """Whose ticket this was, None where it is unknown, too old or already spent; raises RedisError."""
    if not ticket or len(ticket) > TICKET_MAX:
        return None
    buyer_id: Any = await deps.redis.getdel(TICKET_KEY + ticket)
    return buyer_id.decode() if buyer_id else None
