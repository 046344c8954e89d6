"""Whose page asks: a browser says it, and a cookie goes along only with what our own pages ask."""

from collections.abc import Mapping
from functools import lru_cache

from pulsecart.runtime.problem import Forbidden
from pulsecart.runtime.settings import Origin, Settings, origin_of

OTHER_SITES = frozenset({"cross-site", "same-site"})


def check_origin(headers: Mapping[str, str], settings: Settings) -> None:
    """
    A browser says which page asks; a program says nothing, and carries no cookie it was not given. Our pages are those
    of PUBLIC_URL, and of the host that was asked: a page cannot set ``X-Forwarded-Host``, which the edge passes on.
    Pages are compared with their scheme: where PUBLIC_URL is https, no page that came over http is ours.

    Raises:
        Forbidden: another site's page is asking.
    """
    if _foreign(headers, settings):
        raise Forbidden("foreign-origin", "Pages of other sites may not use this shop's sessions, carts and streams.")


def check_page(headers: Mapping[str, str], settings: Settings) -> None:
    """
    For a shop that believes whoever asks: pages of CORS_ORIGINS may, too.

    Raises:
        Forbidden: the page of a site that nobody named is asking.
    """
    if _foreign(headers, settings) and headers.get("origin") not in named_origins(settings.cors_origins):
        raise Forbidden(
            "foreign-origin", "Pages of other sites may change nothing here; CORS_ORIGINS names those that may."
        )


@lru_cache(16)
def named_origins(names: str) -> frozenset[str]:
    """The origins of a comma-separated list, as they are written there."""
    return frozenset(name.strip() for name in names.split(",") if name.strip())


def _foreign(headers: Mapping[str, str], settings: Settings) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") in OTHER_SITES
    asking = _origin_of(origin)
    return asking is None or asking not in _ours(headers, settings.public_url)


def _ours(headers: Mapping[str, str], public_url: str) -> set[Origin | None]:
    """A proxy's ``X-Forwarded-Proto`` may say that a page came over https, never that one came over http instead."""
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
