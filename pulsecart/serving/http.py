"""A request and its reply, as every door (ASGI, functions-framework, the broker) hands them to an operation."""

import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pulsecart.runtime.problem import Malformed
from pulsecart.serving.access import Caller
from pulsecart.serving.query import decimal

JSON = "application/json"
PROBLEM = "application/problem+json"


TIMEOUT = "request-timeout"


def seconds_of(text: str) -> float:
    """
    Raises:
        Malformed: it is no number of seconds above 0.
    """
    seconds = decimal(text, sys.float_info.max)
    if not seconds:
        raise Malformed("timeout-malformed", "Request-Timeout says in seconds how long you wait, for example 2.5.")
    return seconds


@dataclass(slots=True)
class Request:
    """
    Args:
        path: decoded, without the query.
        query: raw, without the question mark.
        headers: names in lower case.
        params: the path's placeholders, e.g. ``{"id": "…"}``.
        caller: who asks, where the route wants to know; None for nobody known.
        route: a number that its route has in this process; 0 before it was asked who may call it.
        told: headers that its reply gets, whatever it says.
        peer: address of the connection's other end; empty where it has none.
        waited_s: seconds from its arrival until it was begun.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    query: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    route: int = 0
    told: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    waited_s: float = 0.0

    def within(self, longest_s: float) -> float:
        """
        Seconds that this request may take: ``longest_s``, or what is left of its caller's ``Request-Timeout: 2.5``.

        Raises:
            Malformed: the header is no number of seconds above 0.
        """
        said = self.headers.get(TIMEOUT)
        return longest_s if said is None else min(longest_s, max(0.0, seconds_of(said) - self.waited_s))


@dataclass(slots=True)
class Reply:
    """``stream`` takes the body's place where the reply has no end known beforehand (live streams)."""

    status: int = 200
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
