"""Delivers one event to one destination: an operation in this process, or an HTTP server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from pulsecart.broker.delivery import DONE, NO_ANSWER, Answer, Destination, Outcome, judge
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply
from pulsecart.serving.query import parse_integer

log = logging.getLogger(__name__)
TTL, TTL_FIRST = "knativebrokerttl", 255


class EventHandler(Protocol):
    """The part of an operation that the broker calls."""

    async def handle_event(self, event: CloudEvent, deps: Any, path: str) -> Reply: ...


class Courier:
    """
    Makes single delivery attempts.

    Args:
        operations: by their Kubernetes names.
        deps: passed to the operations; its HTTP client sends events to other servers.
    """

    def __init__(self, operations: Mapping[str, EventHandler], deps: Any) -> None:
        self._operations = operations
        self._deps = deps

    async def __call__(self, destination: Destination, event: CloudEvent, timeout_s: float) -> Outcome:
        """Make one attempt, cancelled after ``timeout_s``; every failure is returned as an outcome, never raised."""
        if TTL in event.extensions:
            event = replace(event, extensions={name: v for name, v in event.extensions.items() if name != TTL})

        async def attempt() -> Outcome:
            if destination.service is not None:
                handler = self._operations[destination.service]
                return _judged(await handler.handle_event(event, self._deps, destination.path))
            return judge(await self._post(destination, *cloudevents.binary(event)))

        return await _ended(attempt, destination.url, timeout_s)

    async def send(self, at: Destination, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Outcome:
        """Make one attempt to post a message, which may not be a valid CloudEvent, to a server."""

        async def attempt() -> Outcome:
            return judge(await self._post(at, headers, body))

        return await _ended(attempt, at.url, timeout_s)

    async def _post(self, destination: Destination, headers: Mapping[str, str], body: bytes) -> Answer:
        from aiohttp import ClientError
        from yarl import URL

        if token := destination.token():
            headers = {**headers, "authorization": f"Bearer {token}"}
        target = URL(destination.url, encoded=True)
        try:
            async with self._deps.http.post(
                target,
                data=body,
                headers={**headers, "prefer": "reply"},
                skip_auto_headers=("content-type",),  # an event without a content type is sent without the header
                allow_redirects=False,
            ) as response:
                answered = {
                    name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers
                }
                return Answer(response.status, answered, await response.read())
        except ClientError as error:
            return Answer(NO_ANSWER, {}, f"dispatch error: {error!r}".encode())


async def _ended(attempt: Callable[[], Awaitable[Outcome]], url: str, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await attempt()
    except TimeoutError as error:
        if limit.expired():
            return _dispatch_error(f"no answer within {timeout_s:g} s")
        return _dispatch_error(repr(error))
    except Exception as error:
        log.exception("%s could not be reached", url)
        return _dispatch_error(repr(error))


def lived(reply: CloudEvent, cause: CloudEvent) -> CloudEvent | None:
    """Return the reply with the TTL of its cause less 1, or None when that reaches 0: it ends event loops after 255."""
    lives = parse_integer(cause.extensions.get(TTL, ""), TTL_FIRST)
    left = (TTL_FIRST if lives is None else lives) - 1
    return replace(reply, extensions={**reply.extensions, TTL: str(left)}) if left > 0 else None


def _judged(reply: Reply) -> Outcome:
    if not reply.body and not reply.headers and reply.stream is None and 200 <= reply.status < 300:
        return DONE
    if reply.stream is not None:
        return Outcome("again", code=502, data=b"a stream is no CloudEvent")
    headers = {name.lower(): value for name, value in reply.headers}
    return judge(Answer(reply.status, {"content-type": reply.media_type, **headers}, reply.body))


def _dispatch_error(reason: str) -> Outcome:
    return Outcome("again", code=NO_ANSWER, data=f"dispatch error: {reason}".encode(errors="backslashreplace"))
