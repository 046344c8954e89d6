"""Replaces uvicorn's HTTP protocol by ours in functions-framework's server (gunicorn's uvicorn worker)."""

import os
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsecart.runtime.settings import read
from pulsecart.serving.server.bounds import bounds_of
from pulsecart.serving.server.guard import Guard
from pulsecart.serving.server.http import HttpProtocol
from pulsecart.serving.server.start_limit import StartLimit


def register(name: str) -> None:
    """Register an async function with functions-framework, and serve it by our protocol."""
    from functions_framework._function_registry import ASGI_FUNCTIONS, HTTP_SIGNATURE_TYPE, REGISTRY_MAP

    REGISTRY_MAP[name] = HTTP_SIGNATURE_TYPE
    ASGI_FUNCTIONS.add(name)
    bound()


def bound() -> None:
    """Set our protocol in the worker class's configuration of uvicorn; functions-framework has no option for it."""
    from uvicorn_worker import UvicornWorker

    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": protocol}


def protocol(**given: Any) -> HttpToolsProtocol:
    """Create the protocol of one connection; ``uvicorn.Config`` calls this in the worker that serves it."""
    _no_redirects(given["config"].app)
    return HttpProtocol(**given, guard=_guard(), turns=_turns())


@cache
def _guard() -> Guard:
    return Guard(bounds_of(read(os.environ)))


@cache
def _turns() -> StartLimit:
    return StartLimit()


def _no_redirects(app: Any) -> None:
    """Disable Starlette's trailing-slash redirects: they repeat the request's unverified Host."""
    router = getattr(app, "router", None)
    if router is not None:
        router.redirect_slashes = False
