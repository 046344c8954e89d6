"""Defines a request and its reply, in the form that every adapter (ASGI, functions-framework, broker) uses."""

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
    Parse a number of seconds.

    Raises:
        Malformed: ``text`` is no number above 0.
    """
    seconds = decimal(text, sys.float_info.max)
    if not seconds:
        raise Malformed("timeout-malformed", "Request-Timeout must be a number of seconds, for example 2.5.")
    return seconds


@dataclass(slots=True)
class Request:
    """
    Holds one HTTP request.

    Args:
        path: decoded, without the query.
        headers: names in lower case.
        query: raw, without the question mark.
        params: the path's placeholders, e.g. ``{"id": "…"}``.
        caller: the authenticated caller; None if unknown, or if the route needs none.
        route: the route's number in this process; 0 before access to the route was checked.
        reply_headers: headers to add to the reply, whatever its status.
        peer: the address of the connection's peer, a client or a proxy; empty if it has none.
        waited_s: seconds from the request's arrival until its handling began.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    query: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    route: int = 0
    reply_headers: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    waited_s: float = 0.0

    def within(self, longest_s: float) -> float:
        """
        Return the request's time limit: ``longest_s``, or the rest of the client's ``Request-Timeout: 2.5`` if shorter.

        Raises:
            Malformed: the header is no number of seconds above 0.
        """
        header = self.headers.get(TIMEOUT)
        return longest_s if header is None else min(longest_s, max(0.0, seconds_of(header) - self.waited_s))


@dataclass(slots=True)
class Reply:
    """Holds one HTTP reply; ``stream`` replaces the body where the reply's length is unknown (live streams)."""

    status: int = 200
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
