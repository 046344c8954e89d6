"""Verifies the token that Google Pub/Sub sends with each push request: issuer, audience and service account."""

from typing import TYPE_CHECKING

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving.http import Request

if TYPE_CHECKING:
    from pulsecart.serving.tokens import Issuer

PATH = "/pubsub/push"
ALGORITHM = "RS256"


class GoogleTokens:
    """Verifies tokens by Google's published keys; one per process."""

    def __init__(self, deps: Deps) -> None:
        settings = deps.settings
        self._accounts = frozenset(filter(None, map(str.strip, settings.pubsub_push_accounts.split(","))))
        self._deps = deps

    async def check(self, request: Request) -> None:
        """
        Check the request's token.

        Raises:
            Unauthorized: it is missing or invalid.
            Forbidden: it is of another service account.
            Unavailable: Google's keys cannot be fetched.
        """
        if not self._accounts:
            raise _bad("this shop has no push subscription (PUBSUB_PUSH)")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _bad("there is no Authorization: Bearer <token>")
        try:
            claims = await self._deps.singleton(_issuer).claims(token.strip(), self._deps.clock.now())
        except Unauthorized as error:
            raise Unauthorized("bad-push-token", error.detail) from None
        if claims.get("email") not in self._accounts or claims.get("email_verified") is not True:
            raise Forbidden("wrong-account", "The token is not of a service account that PUBSUB_PUSH_ACCOUNTS names.")


def _bad(why: str) -> Unauthorized:
    return Unauthorized("bad-push-token", f"The token is not valid: {why}.")


def _issuer(deps: Deps) -> "Issuer":
    from pulsecart.serving.jwks import PublishedKeys
    from pulsecart.serving.tokens import Issuer

    settings = deps.settings
    audience = settings.pubsub_push_audience or settings.public_url.rstrip("/") + PATH
    return Issuer(PublishedKeys(settings.pubsub_push_jwks_url), (ALGORITHM,), audience, settings.pubsub_push_issuer)
