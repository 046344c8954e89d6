"""Serves live streams as server-sent events (WHATWG EventSource), over ASGI or as a streamed ``Reply``."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from pulsecart.edge.streams.client_buffer import DirectOutlet, Outlet, Send
from pulsecart.edge.streams.hub import Hub, Listener, gap
from pulsecart.edge.streams.news import frame
from pulsecart.edge.streams.places import Places
from pulsecart.edge.streams.subscribe import Opening, asking_buyer, last_id_in, left_s, opening
from pulsecart.edge.streams.topics import Topic, topic_at
from pulsecart.runtime.bounds import check_query
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed, Problem, Unavailable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.access import Caller
from pulsecart.serving.asgi import head_of
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of
from pulsecart.serving.replies import EVENT_HEADERS as HEADERS
from pulsecart.serving.replies import EVENTS, again_later, reply_of

HEARTBEAT = b":\n\n"
STOP = "stop"
CLOSE_S = 5.0
AGAIN_MS = (1_000, 3_000)


class EventStreams:
    """The ASGI app for ``/sse/…``."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        outlet = DirectOutlet(send, HEARTBEAT)
        correlated: tuple[tuple[str, str], ...] = ()
        try:
            request = head_of(scope)
            correlated = (("correlation-id", correlation_of(request)),)
            started = await begin(request, self._deps, outlet)
        except Malformed as problem:
            started = reply_of(problem)
        if isinstance(started, Reply):
            await _start(send, started, correlated)
            await send({"type": "http.response.body", "body": started.body})
            return
        listener, first = started
        try:
            await _start(send, Reply(media_type=EVENTS, headers=HEADERS), correlated)
            await send({"type": "http.response.body", "body": _head(listener.topic, first), "more_body": True})
            listener.begin(first.seen)
            gone = await _until_over(receive, outlet, _life_s(self._deps, first))
        finally:
            outlet.close()
            _leave(listener, self._deps)
        if not gone:
            with suppress(TimeoutError):  # a client that reads nothing gets no orderly end
                async with asyncio.timeout(CLOSE_S):
                    await send({"type": "http.response.body", "body": b""})


async def stream(request: Request, deps: Deps) -> Reply:
    """Return the stream as a ``Reply``, for servers that support only requests and replies."""
    outlet = Outlet(HEARTBEAT)
    started = await begin(request, deps, outlet)
    if isinstance(started, Reply):
        return started
    return Reply(media_type=EVENTS, headers=HEADERS, stream=_frames(outlet, *started, deps))


async def begin(request: Request, deps: Deps, outlet: Outlet) -> tuple[Listener, Opening] | Reply:
    """
    Join the hub, and return the listener and the first data for its client; or a complete reply.

    A browser never retries after a status other than 200. A client that accepts ``text/event-stream`` therefore
    receives a problem as an event with the id ``stop``, reconnects with that id, and is stopped by a 204. Without
    capacity, the reply is a 200 with a retry time and no events.
    """
    last = last_id_in(request)
    if last == STOP:
        return Reply(204)
    try:
        check_query(request.query)
        topic = topic_at(request.path)
        if deps.singleton(Hub).closed:
            return again_later()
        buyer = await asking_buyer(request, deps) if topic.kind.owned else None
        listener = Listener(topic, outlet)
        listener.place = deps.singleton(Places).take(request, buyer.subject if buyer else None)
        if listener.place is None:
            return again_later()
        first = await _opened(listener, last, deps, buyer)
    except (Unavailable, RedisError):
        return again_later()
    except Problem as problem:
        if EVENTS in request.headers.get("accept", ""):
            return Reply(200, frame("problem", problem.document(), id=STOP), EVENTS, HEADERS)
        return reply_of(problem)
    if request.method == "HEAD":
        _leave(listener, deps)
        return Reply(media_type=EVENTS, headers=HEADERS, stream=_nothing())
    return listener, first


async def _opened(listener: Listener, last: str | None, deps: Deps, buyer: Caller | None) -> Opening:
    try:
        return await opening(listener, last, deps, buyer)
    except BaseException:
        _leave(listener, deps)
        raise


def _leave(listener: Listener, deps: Deps) -> None:
    deps.singleton(Hub).leave(listener)
    if listener.place is not None:
        listener.place.leave()


async def _frames(outlet: Outlet, listener: Listener, first: Opening, deps: Deps) -> AsyncIterator[bytes]:
    over_at = asyncio.get_running_loop().time() + _life_s(deps, first)
    try:
        yield _head(listener.topic, first)
        listener.begin(first.seen)
        while (frames := await outlet.take(over_at - asyncio.get_running_loop().time())) is not None:
            yield b"".join(frames)
    finally:
        _leave(listener, deps)


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for one in none:
        yield one


async def _until_over(receive: Any, outlet: DirectOutlet, life_s: float) -> bool:
    """Wait for the end; return whether the client disconnected. Otherwise its time is over or it is too slow."""
    with suppress(TimeoutError):
        async with asyncio.timeout(life_s) as limit:
            outlet.when_ended(lambda: None if limit.expired() else limit.reschedule(0))
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


def _head(topic: Topic, first: Opening) -> bytes:
    again = f"retry: {random.randint(*AGAIN_MS)}\n\n".encode()  # noqa: S311  # reconnect jitter
    lost = frame("gap", gap(topic, first.lost)) if first.lost else b""
    return again + lost + b"".join(news.frame for news in first.news)


def _life_s(deps: Deps, first: Opening) -> float:
    life_s = deps.settings.stream_life_s * random.uniform(0.9, 1)  # noqa: S311  # as above
    return min(life_s, left_s(first.until_s, deps))


async def _start(send: Send, reply: Reply, more: tuple[tuple[str, str], ...]) -> None:
    start_headers = (("content-type", reply.media_type), *reply.headers, *more)
    headers = [(name.encode(), value.encode()) for name, value in start_headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
