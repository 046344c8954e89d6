"""Adds security headers to every reply, and permits pages of other sites (CORS); by default none."""

from urllib.parse import urlsplit

from pulsecart.runtime.settings import MissingSetting, Settings
from pulsecart.serving.asgi import App

HSTS_S = 31_536_000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ASKED_WITH = (
    "authorization",
    "content-type",
    "correlation-id",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "request-timeout",
    "traceparent",
)
ALWAYS_EXPOSED = (
    "correlation-id",
    "etag",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
)
PREFLIGHT_S = 600


def safe_headers(settings: Settings) -> list[tuple[str, str]]:
    """Return the security headers of every reply; pages.py adds those for pages only."""
    headers = [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]
    if settings.public_url.startswith("https:"):
        headers.append(("strict-transport-security", f"max-age={HSTS_S}"))
    return headers


def with_origins(app: App, settings: Settings) -> App:
    """
    Permit pages of CORS_ORIGINS. They must send tokens; our cookie is only sent by our own pages (SameSite=Strict).

    Raises:
        MissingSetting: an entry of CORS_ORIGINS is no origin.
    """
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if not origins:
        return app
    for origin in origins:
        parts = urlsplit(origin)
        if f"{parts.scheme}://{parts.netloc}" != origin or parts.scheme not in ("http", "https") or not parts.netloc:
            raise MissingSetting(f"CORS_ORIGINS={origin!r} is not an origin like https://shop.example")
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=ASKED_WITH,
        expose_headers=ALWAYS_EXPOSED,
        max_age=PREFLIGHT_S,
    )
