"""Rejects requests from other sites' pages (CSRF) by the Origin and Sec-Fetch-Site headers that browsers send."""

from collections.abc import Mapping
from functools import lru_cache

from pulsecart.runtime.problem import Forbidden
from pulsecart.runtime.settings import Origin, Settings, origin_of

OTHER_SITES = frozenset({"cross-site", "same-site"})


def check_origin(headers: Mapping[str, str], settings: Settings) -> None:
    """
    Check that a request comes from one of our pages, or from a program, which sends neither header.

    Our pages have the origin of PUBLIC_URL or of the requested host: a page cannot set ``X-Forwarded-Host``, which the
    edge passes on. Origins include the scheme: if PUBLIC_URL is https, a page loaded over http is not ours.

    Raises:
        Forbidden: another site's page sent the request.
    """
    if _foreign(headers, settings):
        raise Forbidden("foreign-origin", "Pages of other sites may not use this shop's sessions, carts and streams.")


def check_page(headers: Mapping[str, str], settings: Settings) -> None:
    """
    Check the requesting page in the demo, which accepts unsigned buyers: pages of CORS_ORIGINS are permitted, too.

    Raises:
        Forbidden: a page of a site that is not in CORS_ORIGINS sent the request.
    """
    if _foreign(headers, settings) and headers.get("origin") not in named_origins(settings.cors_origins):
        raise Forbidden(
            "foreign-origin", "Pages of other sites may change nothing here; CORS_ORIGINS lists the allowed ones."
        )


@lru_cache(16)
def named_origins(names: str) -> frozenset[str]:
    """Split a comma-separated list of origins; they stay as written."""
    return frozenset(name.strip() for name in names.split(",") if name.strip())


def _foreign(headers: Mapping[str, str], settings: Settings) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") in OTHER_SITES
    sender = _origin_of(origin)
    return sender is None or sender not in _ours(headers, settings.public_url)


def _ours(headers: Mapping[str, str], public_url: str) -> set[Origin | None]:
    """Return the origins of our pages; ``X-Forwarded-Proto`` may raise the scheme to https, never lower it to http."""
    public, host = _origin_of(public_url), headers.get("host", "")
    secure = public_url.startswith("https:") or _first(headers, "x-forwarded-proto") == "https"
    ours = {public, _origin_of(f"https://{host}" if secure else f"http://{host}")}
    if forwarded := _first(headers, "x-forwarded-host"):
        ours.add(_origin_of(f"https://{forwarded}"))
        if not secure:
            ours.add(_origin_of(f"http://{forwarded}"))
    return ours


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip().lower()


_origin_of = lru_cache(1024)(origin_of)
