"""functions-framework's own server (gunicorn's uvicorn worker) with our protocol in the place of uvicorn's."""

import os
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsecart.runtime.settings import read
from pulsecart.serving.server.bounds import bounds_of
from pulsecart.serving.server.guard import Guard
from pulsecart.serving.server.http import HttpProtocol
from pulsecart.serving.server.turns import Turns


def bound() -> None:
    """What the worker gives to uvicorn is an attribute of its class; functions-framework has no word for it."""
    from uvicorn_worker import UvicornWorker

    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": protocol}


def protocol(**given: Any) -> HttpToolsProtocol:
    """For ``uvicorn.Config``: called for each connection, in the worker that serves it."""
    _no_redirects(given["config"].app)
    return HttpProtocol(**given, guard=_guard(), turns=_turns())


@cache
def _guard() -> Guard:
    return Guard(bounds_of(read(os.environ)))


@cache
def _turns() -> Turns:
    return Turns()


def _no_redirects(app: Any) -> None:
    """Starlette's redirect to a path with or without its last slash names the host that the request names."""
    router = getattr(app, "router", None)
    if router is not None:
        router.redirect_slashes = False
