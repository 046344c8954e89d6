"""What every reply says to browsers, and which other sites' pages may ask (CORS): as the settings say, nobody's."""

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
TOLD = ("correlation-id", "etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate")
PREFLIGHT_S = 600


def safe_headers(settings: Settings) -> list[tuple[str, str]]:
    """On every reply; what is right for the page alone is the page's (pages.py)."""
    headers = [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]
    if settings.public_url.startswith("https:"):
        headers.append(("strict-transport-security", f"max-age={HSTS_S}"))
    return headers


def with_origins(app: App, settings: Settings) -> App:
    """
    The same, open to pages of CORS_ORIGINS. They send tokens; our cookie is for our own pages (SameSite=Strict).

    Raises:
        MissingSetting: one of them is no origin.
    """
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if not origins:
        return app
    for origin in origins:
        parts = urlsplit(origin)
        if f"{parts.scheme}://{parts.netloc}" != origin or parts.scheme not in ("http", "https") or not parts.netloc:
            raise MissingSetting(f"CORS_ORIGINS={origin!r} is no origin like https://shop.example")
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=ASKED_WITH,
        expose_headers=TOLD,
        max_age=PREFLIGHT_S,
    )
