"""Reads and writes our cookies (session, anonymous cart): hidden from scripts, never sent by other sites' pages."""

from pulsecart.runtime.settings import Settings

OURS = "pulsecart_"  # prefix of every name
HOST_ONLY = "__Host-"  # browsers accept such a cookie only over https, from exactly this host, for all its paths


def name_of(kind: str, settings: Settings) -> str:
    """
    Return a cookie's name: ``__Host-pulsecart_session`` if PUBLIC_URL is https, so that no sibling host can set it;
    ``pulsecart_session`` over http, where browsers may reject Secure cookies (docs/operations.md).
    """
    return (HOST_ONLY if _is_secure(settings) else "") + OURS + kind


def value_of(kind: str, header: str, settings: Settings) -> str | None:
    """Return the cookie's first value in a Cookie header; None if absent."""
    wanted = name_of(kind, settings)
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted and value:
            return value
    return None


def set_cookie(kind: str, value: str, max_age_s: int, settings: Settings) -> str:
    """Build a ``Set-Cookie`` value; a ``max_age_s`` of 0 deletes the cookie."""
    secure = "; Secure" if _is_secure(settings) else ""
    return f"{name_of(kind, settings)}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


def _is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https:")
