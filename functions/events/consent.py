"""Answers the question whether CloudEvents may be sent here (CloudEvents HTTP 1.1 Web Hooks, section 4)."""

import re

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.settings import Settings
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.replies import no_route

ORIGIN = "webhook-request-origin"
ALLOW = "OPTIONS, POST"
_ORIGIN = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


async def consent(request: Request, deps: Deps) -> Reply:
    """
    Allow any origin to send events: what a request may do depends on its token or signature. Without the header
    WebHook-Request-Origin this is no such question, and the reply is that of any route without OPTIONS.
    """
    origin = request.headers.get(ORIGIN)
    if origin is None:
        return no_route(request.method, request.path, ["OPTIONS", "POST"])
    allow = ("allow", ALLOW)
    if not _ORIGIN.fullmatch(origin):
        return Reply(200, headers=(allow,))
    return Reply(
        200,
        headers=(allow, ("webhook-allowed-origin", origin), ("webhook-allowed-rate", rate_of(deps.settings))),
    )


def rate_of(settings: Settings) -> str:
    """Return the requests per minute that RATE_LIMIT permits a caller; ``*`` for any number."""
    if not settings.rate_limit:
        return "*"
    return str(max(1, int(settings.rate_limit * 60 / settings.rate_limit_window_s)))
