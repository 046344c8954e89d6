"""A request and its reply, as every door (ASGI, functions-framework, the broker) hands them to an operation."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from runtime.access import Caller

JSON = "application/json"
PROBLEM = "application/problem+json"


@dataclass(slots=True)
class Request:
    """
    Args:
        path: decoded, without the query.
        query: raw, without the question mark.
        headers: names in lower case.
        params: the path's placeholders, e.g. ``{"id": "…"}``.
        caller: who asks, where the route wants to know; None for nobody known.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    query: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None


@dataclass(slots=True)
class Reply:
    """``stream`` takes the body's place where the reply has no end known beforehand (live streams)."""

    status: int = 200
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None
