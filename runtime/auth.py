"""Who asks: a JWT as Bearer token, or our own session cookie. A token that came and is bad is never ignored."""

from typing import TYPE_CHECKING

from runtime.deps import Deps
from runtime.http import Request
from shop.problem import Forbidden, Unauthorized

if TYPE_CHECKING:
    from runtime.tokens import Verifier

COOKIE = "pulsecart_session"


async def buyer_of(request: Request, deps: Deps) -> str | None:
    """
    The buyer who asks, from ``Authorization: Bearer …`` or the session's cookie; None where neither came.

    Raises:
        Unauthorized: one came and is not valid.
        Unavailable: the issuer's keys cannot be fetched.
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("bad-authorization", "Send your token as Authorization: Bearer <token>.")
        return await deps.one(verifier).subject(token.strip(), deps.clock.now())
    session = session_in(request.headers.get("cookie", ""))
    if session is None:
        return None
    from runtime.tokens import read_session

    return read_session(session, deps.settings, deps.clock.now())


async def require_buyer(request: Request, deps: Deps, body_user_id: str | None) -> str:
    """
    The buyer a mutation is for. In the demo (ACCEPT_UNSIGNED_BUYERS) the body is believed.

    Raises:
        Unauthorized: nobody known asks, or the token is bad (in the demo too).
        Forbidden: the body names somebody else.
    """
    buyer = await buyer_of(request, deps)
    if deps.settings.accept_unsigned_buyers and body_user_id:
        return body_user_id
    if buyer is None:
        raise Unauthorized("not-signed-in", "Send your token: Authorization: Bearer <token>.")
    if body_user_id and body_user_id != buyer:
        raise Forbidden("not-yours", "The body's userId is not the one you are signed in as.")
    return buyer


async def require_admin(request: Request, deps: Deps) -> str:
    """
    Whoever keeps the catalogue and its prices (role: admin); in the demo anybody, who is then nobody in particular.

    Raises:
        Unauthorized: nobody known asks, or the token is bad.
    """
    caller = await buyer_of(request, deps)
    if caller is None and not deps.settings.accept_unsigned_buyers:
        raise Unauthorized("not-signed-in", "Send your token: Authorization: Bearer <token>.")
    return caller or ""


def verifier(deps: Deps) -> "Verifier":
    """The process's own, for ``deps.one``: a shop that nobody shows a token to never loads what reads one (8 MB)."""
    from runtime.tokens import Verifier

    return Verifier(deps.settings)


def session_in(cookies: str) -> str | None:
    """The session in a Cookie header, the first where there are several."""
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None
