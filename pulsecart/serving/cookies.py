"""Our cookies: a session's and an anonymous cart's; no script can read them, and no other site's page sends them."""

from pulsecart.runtime.settings import Settings

OURS = "pulsecart_"  # in the name of each
HOST_ONLY = "__Host-"  # browsers take such a cookie over https alone, from this very host, for all of its paths


def name_of(kind: str, settings: Settings) -> str:
    """
    ``__Host-pulsecart_session`` where PUBLIC_URL is https, so that no neighbouring host can set one; over plain http
    ``pulsecart_session``, for there browsers need not take a cookie that is Secure (docs/operations.md).
    """
    return (HOST_ONLY if _is_secure(settings) else "") + OURS + kind


def value_of(kind: str, header: str, settings: Settings) -> str | None:
    """The cookie's value in a Cookie header, the first where there are several; None where there is none."""
    wanted = name_of(kind, settings)
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted and value:
            return value
    return None


def set_cookie(kind: str, value: str, max_age_s: int, settings: Settings) -> str:
    """A ``Set-Cookie`` value; 0 seconds take the cookie away."""
    secure = "; Secure" if _is_secure(settings) else ""
    return f"{name_of(kind, settings)}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


def _is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https:")
