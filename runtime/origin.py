"""Whose page asks: a browser says it, and a cookie goes along only with what our own pages ask."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from runtime.settings import Settings
from shop.problem import Forbidden

OTHER_SITES = frozenset({"cross-site", "same-site"})


def check_origin(headers: Mapping[str, str], settings: Settings) -> None:
    """
    A browser says which page asks; a program says nothing, and carries no cookie it was not given. Our pages are those
    of PUBLIC_URL, and of the host that was asked: a page cannot set ``X-Forwarded-Host``, which the edge passes on.

    Raises:
        Forbidden: another site's page is asking with our visitor's cookie.
    """
    origin = headers.get("origin")
    if origin is None:
        if headers.get("sec-fetch-site") not in OTHER_SITES:
            return
    elif _ours(origin, headers, settings.public_url):
        return
    raise Forbidden("foreign-origin", "Pages of other sites may not use this shop's sessions, carts and streams.")


def _ours(origin: str, headers: Mapping[str, str], public_url: str) -> bool:
    try:
        asking, ours = urlsplit(origin), urlsplit(public_url)
    except ValueError:
        return False
    hosts = (headers.get("host"), headers.get("x-forwarded-host", "").partition(",")[0].strip())
    return bool(asking.netloc) and (asking.netloc in hosts or asking[:2] == ours[:2])
