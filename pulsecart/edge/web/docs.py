"""Serves the API documentation: the OpenAPI document, its page, and the URL of each problem ``type``."""

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from pulsecart.edge.web.pages import FILES, SAFE, served
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import NotFound
from pulsecart.serving.http import JSON, Reply, Request

PAGE = "api.html"
DOCUMENT = Path(__file__).parents[3] / "contracts" / "openapi.json"


async def api_page(request: Request, deps: Deps) -> Reply:
    """Answer ``/docs/api``: a page with every operation and every problem, which loads only its style sheet."""
    return served(request, PAGE)


async def api_document(request: Request, deps: Deps) -> Reply:
    """Answer ``/api/openapi.json``."""
    body, etag = _document()
    headers = (("etag", etag), ("cache-control", "no-cache"), *SAFE)
    if etag in request.headers.get("if-none-match", ""):
        return Reply(304, headers=headers)
    return Reply(body=body, media_type=JSON, headers=headers)


async def problem(request: Request, deps: Deps) -> Reply:
    """
    Answer ``/problems/{type}``, the path of a problem's ``type``, with a redirect to its section on the page.

    Raises:
        NotFound: there is no problem of that type.
    """
    type = request.params["type"]
    if type not in _problems():
        raise NotFound("no-such-problem", f"There is no problem type {type[:64]}; /docs/api lists them.")
    return Reply(302, headers=(("location", f"/docs/api#problem-{type}"),))


@cache
def _document() -> tuple[bytes, str]:
    body = DOCUMENT.read_bytes()
    return body, f'"{sha256(body).hexdigest()[:16]}"'


@cache
def _problems() -> frozenset[str]:
    return frozenset(re.findall(r'id="problem-([a-z-]+)"', (FILES / PAGE).read_text()))
