"""Authenticates callers by a JWT as Bearer token or by our session cookie; an invalid token is always rejected."""

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving.access import CUSTOMER_ROLE, DEMO, Allow, Caller
from pulsecart.serving.addresses import proxies_of
from pulsecart.serving.cookies import OURS, value_of
from pulsecart.serving.csrf import check_origin, check_page
from pulsecart.serving.http import Request
from pulsecart.serving.rate_limit import Limits

if TYPE_CHECKING:
    from pulsecart.serving.tokens import Verifier

NOT_SIGNED_IN = "Send your token: Authorization: Bearer <token>."
SAFE = frozenset({"GET", "HEAD"})


async def admit(request: Request, allow: Allow, deps: Deps) -> None:
    """
    Check access to a route and store the authenticated caller in ``request.caller``.

    Raises:
        Unauthorized: the caller is unknown, or its token or session is invalid.
        Forbidden: none of the caller's roles is permitted; or another site's page sends the request, with our cookie
            or in the demo.
        TooMany: the caller exceeded its request rate.
        Unavailable: the issuer's keys cannot be fetched.
    """
    if allow.roles is None:
        if allow.counted:
            address = deps.singleton(proxies_of).counted(request.headers, request.peer)
            deps.singleton(Limits).count(request, address, deps.clock.now().timestamp())
        return
    headers = request.headers
    if "authorization" in headers:
        if allow.by_metrics_token and _reads_metrics(headers["authorization"], deps.settings.metrics_token):
            return
        request.caller = await _shown(request, deps, by_session=False)
    else:
        if request.method not in SAFE:
            _check_its_page(headers, deps)
        if "cookie" in headers:
            request.caller = await _shown(request, deps, by_session=allow.by_session)
    caller = request.caller
    if caller is None:
        if allow.anonymous or (allow.unsigned and deps.settings.accept_unsigned_buyers):
            return
        if allow.by_ticket and "ticket=" in request.query:
            return
        if allow.roles:
            raise Unauthorized("not-signed-in", NOT_SIGNED_IN)
    elif caller.roles & allow.roles or (allow is DEMO and deps.settings.accept_unsigned_buyers):
        deps.singleton(Limits).count(request, caller.subject, deps.clock.now().timestamp())
        return
    if not allow.roles:
        raise Forbidden("demo-only", "This exists only in a demo (ACCEPT_UNSIGNED_BUYERS).")
    needed = " or ".join(sorted(allow.roles))
    raise Forbidden("role-missing", f"This needs the role {needed}; your token or session does not have it.")


def _check_its_page(headers: Mapping[str, str], deps: Deps) -> None:
    """Check the requesting page where no token proves intent: with our cookie, or in the demo."""
    if OURS in headers.get("cookie", ""):
        check_origin(headers, deps.settings)
    elif deps.settings.accept_unsigned_buyers:
        check_page(headers, deps.settings)


def _reads_metrics(authorization: str, token: str) -> bool:
    scheme, _, shown = authorization.partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


async def caller_of(request: Request, deps: Deps) -> Caller | None:
    """
    Return the caller named by ``Authorization: Bearer …`` or the session cookie; None if the request has neither.

    Raises:
        Unauthorized: the token or session is invalid.
        Unavailable: the issuer's keys cannot be fetched.
    """
    return request.caller if request.route else await _shown(request, deps, by_session=True)


async def _shown(request: Request, deps: Deps, *, by_session: bool) -> Caller | None:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("bad-authorization", "Send your token as Authorization: Bearer <token>.")
        return await deps.singleton(verifier).caller(token.strip(), deps.clock.now())
    session = value_of("session", request.headers.get("cookie", ""), deps.settings) if by_session else None
    if session is None:
        return None
    from pulsecart.serving.tokens import read_session

    return read_session(session, deps.settings, deps.clock.now())


async def customer_of(request: Request, deps: Deps) -> Caller | None:
    """
    Return the calling customer, with the time its token or session expires; None if the caller is unknown.

    Raises:
        Unauthorized, Unavailable: as ``caller_of``.
        Forbidden: the caller is no customer.
    """
    caller = await caller_of(request, deps)
    if caller is None:
        return None
    if CUSTOMER_ROLE not in caller.roles:
        raise Forbidden("role-missing", "This needs the role customer; your token or session does not have it.")
    return caller


async def buyer_of(request: Request, deps: Deps) -> str | None:
    """Return the calling customer's id; None if the caller is unknown. Raises as ``customer_of``."""
    caller = await customer_of(request, deps)
    return caller.subject if caller else None


async def require_buyer(request: Request, deps: Deps, body_user_id: str | None) -> str:
    """
    Return the buyer that a mutation is for: the signed-in one. In the demo (ACCEPT_UNSIGNED_BUYERS), a request
    without sign-in is accepted, and its body names the buyer.

    Raises:
        Unauthorized: the caller is unknown, or the token is invalid (in the demo too).
        Forbidden: the body names another buyer than the signed-in one (in the demo too).
        TooMany: the buyer named by the body in the demo exceeded its request rate.
    """
    unauthenticated = request.route and request.caller is None
    buyer = None if unauthenticated else await buyer_of(request, deps)
    if buyer is None:
        if not (deps.settings.accept_unsigned_buyers and body_user_id):
            raise Unauthorized("not-signed-in", NOT_SIGNED_IN)
        deps.singleton(Limits).count(request, body_user_id, deps.clock.now().timestamp())
        return body_user_id
    if body_user_id and body_user_id != buyer:
        raise Forbidden("not-yours", "userId differs from the buyer who is signed in.")
    return buyer


async def require_owner(request: Request, deps: Deps, owner: str) -> None:
    """
    Accept only the owner as caller; in the demo (ACCEPT_UNSIGNED_BUYERS), also a caller that is not signed in.

    Raises:
        Unauthorized: the caller is unknown.
        Forbidden: the caller is not the owner.
    """
    buyer = await buyer_of(request, deps)
    if buyer is None and deps.settings.accept_unsigned_buyers:
        return
    if buyer is None:
        raise Unauthorized("not-signed-in", NOT_SIGNED_IN)
    if buyer != owner:
        raise Forbidden("not-yours", "This belongs to another buyer.")


def subject_of(request: Request) -> str:
    """Return the authenticated caller's subject; empty if unknown."""
    return request.caller.subject if request.caller else ""


def verifier(deps: Deps) -> "Verifier":
    """Create the process's Verifier, for ``deps.singleton``; without any token, its module (8 MB) is never imported."""
    from pulsecart.serving.tokens import Verifier

    return Verifier(deps.settings)
