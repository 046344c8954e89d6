"""Who a browser is: a signed cookie that scripts cannot read, or a ticket that works once; never a JWT in a URL."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from runtime.deps import Deps
from runtime.settings import Settings
from shop.problem import Forbidden, Unavailable

COOKIE = "pulsecart_session"
AUDIENCE = "pulsecart-session"  # no token made for another use is a session, and the other way round
SESSION_H = 12
TICKET_S = 60
TICKET_KEY = "ticket:"


def cookie_for(buyer_id: str, settings: Settings, now: datetime) -> str:
    """
    A ``Set-Cookie`` value that says for SESSION_H hours who the browser is.

    Raises:
        Unavailable: SESSION_SECRET is not set, so that nobody could trust it.
    """
    import jwt  # 8 MB that a shop without sessions does not pay

    if not settings.session_secret:
        raise Unavailable("no-session-secret", "This shop has no SESSION_SECRET; its operator must set one.", 60)
    claims = {"sub": buyer_id, "aud": AUDIENCE, "exp": now + timedelta(hours=SESSION_H)}
    token = jwt.encode(claims, settings.session_secret, algorithm="HS256")
    secure = "; Secure" if settings.public_url.startswith("https:") else ""
    return f"{COOKIE}={token}; Path=/; Max-Age={SESSION_H * 3600}; HttpOnly; SameSite=Strict{secure}"


def buyer_in(headers: Mapping[str, str], settings: Settings, now: datetime) -> str | None:
    """The buyer that the request's cookie names, None without a cookie that is ours and still good."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    if morsel is None or not settings.session_secret:
        return None
    import jwt

    try:
        claims = jwt.decode(
            morsel.value,
            settings.session_secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            options={"require": ["sub", "aud", "exp"], "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"]) if claims["exp"] > now.timestamp() else None


async def issue_ticket(buyer_id: str, deps: Deps) -> str:
    """A random word that opens one stream of this buyer's, within TICKET_S seconds; raises RedisError."""
    ticket = secrets.token_urlsafe(32)
    await deps.redis.set(TICKET_KEY + ticket, buyer_id, ex=TICKET_S)
    return ticket


async def spend_ticket(ticket: str, deps: Deps) -> str | None:
    """Whose ticket this was, None where it is unknown, too old or already spent; raises RedisError."""
    if not ticket or len(ticket) > 64:
        return None
    buyer_id: Any = await deps.redis.getdel(TICKET_KEY + ticket)
    return buyer_id.decode() if buyer_id else None


def check_origin(headers: Mapping[str, str], settings: Settings) -> None:
    """
    A browser says which page asks; a program says nothing, and carries no cookie it was not given.

    Raises:
        Forbidden: another site's page is asking with our visitor's cookie.
    """
    origin = headers.get("origin")
    if origin is None:
        return
    ours = urlsplit(settings.public_url)
    asking = urlsplit(origin)
    if asking.netloc and (asking.netloc == headers.get("host") or asking[:2] == ours[:2]):
        return
    raise Forbidden("foreign-origin", "Pages of other sites may not use this shop's sessions and streams.")
