"""Declares an operation's HTTP routes: method, path, handler and the permitted callers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pulsecart.runtime.bounds import PARAMETER_CHARACTERS
from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import Allow
from pulsecart.serving.http import Reply, Request

Handler = Callable[[Request, Deps], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """
    Declares one route; ``allow`` names the permitted callers.

    ``path`` may hold placeholders of one segment each: ``/api/v1/orders/{id}``.
    """

    method: str
    path: str
    handler: Handler
    allow: Allow


def get(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("GET", path, handler, allow)


def post(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("POST", path, handler, allow)


def put(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("PUT", path, handler, allow)


def delete(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("DELETE", path, handler, allow)


def matched(pattern: str, path: str) -> dict[str, str] | None:
    """Return the placeholders' values, printable and of limited length; None if ``path`` does not fit ``pattern``."""
    wanted, given = pattern.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    params = {}
    for want, value in zip(wanted, given, strict=True):
        if want.startswith("{") and value.isprintable() and 0 < len(value) <= PARAMETER_CHARACTERS:
            params[want[1:-1]] = value
        elif want != value:
            return None
    return params
