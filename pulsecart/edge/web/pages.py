"""Serves the pages and their static files, read once and sent with an ETag."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import NotFound
from pulsecart.serving.http import Reply, Request

FILES = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SAFE = (
    ("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)  # fmt: skip


async def page(request: Request, deps: Deps) -> Reply:
    """Answer ``/``."""
    return served(request, "index.html")


async def shop(request: Request, deps: Deps) -> Reply:
    """Answer ``/products/{id}``, ``/cart``, ``/orders``, ``/orders/{id}``: the script renders the page for the path."""
    return served(request, "shop.html")


async def passport(request: Request, deps: Deps) -> Reply:
    """Answer ``/orders/{id}/passport``; its script requests the order with the visitor's own session."""
    return served(request, "passport.html")


async def partners(request: Request, deps: Deps) -> Reply:
    """Answer ``/partners``; its script sends the token that the visitor pastes."""
    return served(request, "partners.html")


async def static(request: Request, deps: Deps) -> Reply:
    """Answer ``/static/{file}``; raises NotFound."""
    return served(request, request.params["file"])


def served(request: Request, name: str) -> Reply:
    if name not in _names():
        raise NotFound("no-such-file", f"The pages have no file {name}.")
    body, media_type, etag = _file(name)
    headers = (("etag", etag), ("cache-control", "no-cache"), *SAFE)
    if etag in request.headers.get("if-none-match", ""):
        return Reply(304, headers=headers)
    return Reply(body=body, media_type=media_type, headers=headers)


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in FILES.iterdir() if file.suffix in MEDIA_TYPES)


@cache
def _file(name: str) -> tuple[bytes, str, str]:
    body = (FILES / name).read_bytes()
    return body, MEDIA_TYPES[Path(name).suffix], f'"{sha256(body).hexdigest()[:16]}"'
