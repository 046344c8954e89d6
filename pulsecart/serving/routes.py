"""Declares an operation's HTTP routes: method, path, handler and the permitted callers; looks routes up."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pulsecart.runtime.bounds import PARAMETER_CHARACTERS
from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import Allow
from pulsecart.serving.http import Reply, Request

Handler = Callable[[Request, Deps], Awaitable[Reply]]
Target = TypeVar("Target")


@dataclass(frozen=True, slots=True)
class Route:
    """
    Declares one route; ``allow`` names the permitted callers.

    ``path`` may hold placeholders of one segment each: ``/api/v1/orders/{id}``. ``max_body_bytes`` is the maximum size
    of its bodies where it exceeds the setting MAX_BODY_BYTES.
    """

    method: str
    path: str
    handler: Handler
    allow: Allow
    max_body_bytes: int = 0


def get(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("GET", path, handler, allow)


def post(path: str, handler: Handler, *, allow: Allow, max_body_bytes: int = 0) -> Route:
    return Route("POST", path, handler, allow, max_body_bytes)


def put(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("PUT", path, handler, allow)


def delete(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("DELETE", path, handler, allow)


def options(path: str, handler: Handler, *, allow: Allow) -> Route:
    return Route("OPTIONS", path, handler, allow)


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


def max_body_of(routes: Iterable[Route], method: str, path: str, default: int) -> int:
    """Return the maximum size of a request's body: its route's, or ``default`` if that is larger."""
    fitting = (route for route in routes if route.method == method and matched(route.path, path) is not None)
    return max(default, *(route.max_body_bytes for route in fitting), 0)


class RouteTable(Generic[Target]):
    """Finds the target of a request's method and path."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Target] = {}
        self._patterns: dict[tuple[str, int], dict[str, Target]] = {}  # by method and number of segments

    def add(self, method: str, path: str, target: Target) -> None:
        """
        Add a route; ``path`` may hold placeholders.

        Raises:
            ValueError: the table has this route.
        """
        alike = self._patterns.setdefault((method, path.count("/")), {})
        if (method, path) in self._exact or path in alike:
            raise ValueError(f"two operations answer {method} {path}")
        if "{" in path:
            alike[path] = target
        else:
            self._exact[method, path] = target

    def find(self, method: str, path: str) -> tuple[Target, dict[str, str]] | None:
        """Return the target and the placeholders' values; GET routes answer HEAD, where the server omits the body."""
        target = self._exact.get((method, path))
        if target is not None:
            return target, {}
        for pattern, target in self._patterns.get((method, path.count("/")), {}).items():
            params = matched(pattern, path)
            if params is not None:
                return target, params
        return self.find("GET", path) if method == "HEAD" else None

    def names(self) -> list[str]:
        """List the routes in the form ``"GET /api/v1/orders/{id}"``."""
        patterns = ((method, pattern) for (method, _), known in self._patterns.items() for pattern in known)
        return [f"{method} {path}" for method, path in (*self._exact, *patterns)]

    def methods(self, path: str) -> list[str]:
        """List the methods that have a route for ``path``."""
        exact = {method for method, known in self._exact if known == path}
        patterns = ((method, pattern) for (method, _), known in self._patterns.items() for pattern in known)
        return sorted(exact | {method for method, pattern in patterns if matched(pattern, path) is not None})
