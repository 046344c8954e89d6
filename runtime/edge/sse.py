"""Server-sent events (WHATWG EventSource), over ASGI and as a reply's stream."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from runtime.deps import Deps
from runtime.edge.hub import Hub, Listener, gap
from runtime.edge.news import Topic, frame
from runtime.edge.opening import Opening, asking_buyer, last_id_in, left_s, opening, topic_of
from runtime.edge.outlet import DirectOutlet, Outlet, Send
from runtime.http import Reply, Request
from runtime.idempotency import correlation_of
from runtime.redis_client import RedisError
from runtime.replies import reply_of
from shop.bounds import check_query
from shop.problem import Problem, Unavailable

EVENTS = "text/event-stream"
HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
HEARTBEAT = b":\n\n"
STOP = "stop"
STREAMS_MAX = 20_000
CLOSE_S = 5.0
AGAIN_MS = (1_000, 3_000)
LATER_MS = (5_000, 10_000)


class EventStreams:
    """The ASGI app of ``/sse/…``."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], scope["path"], headers, query=query)
        outlet = DirectOutlet(send, HEARTBEAT)
        correlated = (("correlation-id", correlation_of(request)),)
        begun = await begin(request, self._deps, outlet)
        if isinstance(begun, Reply):
            await _start(send, begun, correlated)
            await send({"type": "http.response.body", "body": begun.body})
            return
        listener, first = begun
        try:
            await _start(send, Reply(media_type=EVENTS, headers=HEADERS), correlated)
            await send({"type": "http.response.body", "body": _head(listener.topic, first), "more_body": True})
            listener.begin(first.seen)
            gone = await _until_over(receive, outlet, _life_s(self._deps, first))
        finally:
            outlet.close()
            self._deps.one(Hub).leave(listener)
        if not gone:
            with suppress(TimeoutError):  # a client that reads nothing gets no orderly end
                async with asyncio.timeout(CLOSE_S):
                    await send({"type": "http.response.body", "body": b""})


async def stream(request: Request, deps: Deps) -> Reply:
    """The same as a reply with a stream, for servers that know only requests and replies."""
    outlet = Outlet(HEARTBEAT)
    begun = await begin(request, deps, outlet)
    if isinstance(begun, Reply):
        return begun
    return Reply(media_type=EVENTS, headers=HEADERS, stream=_frames(outlet, *begun, deps))


async def begin(request: Request, deps: Deps, outlet: Outlet) -> tuple[Listener, Opening] | Reply:
    """
    A listener in the hub and what its client gets first; or the whole reply.

    A browser gives up for good on any status but 200, so whoever accepts ``text/event-stream`` is told of a problem in
    an event, under the id ``stop``. It comes once more with that id and is told to stop, by 204. Not now means 200, a
    time to wait and the end.
    """
    last = last_id_in(request)
    if last == STOP:
        return Reply(204)
    hub = deps.one(Hub)
    try:
        check_query(request.query)
        topic = topic_of(request.path)
        if hub.closed or hub.listeners >= STREAMS_MAX:
            return _later()
        buyer = await asking_buyer(request, deps) if topic.kind == "order" else None
        listener = Listener(topic, outlet)
        first = await opening(listener, last, deps, buyer)
    except (Unavailable, RedisError):
        return _later()
    except Problem as problem:
        if EVENTS in request.headers.get("accept", ""):
            return Reply(200, frame("problem", problem.document(), id=STOP), EVENTS, HEADERS)
        return reply_of(problem)
    if request.method == "HEAD":
        hub.leave(listener)
        return Reply(media_type=EVENTS, headers=HEADERS, stream=_nothing())
    return listener, first


async def _frames(outlet: Outlet, listener: Listener, first: Opening, deps: Deps) -> AsyncIterator[bytes]:
    over_at = asyncio.get_running_loop().time() + _life_s(deps, first)
    try:
        yield _head(listener.topic, first)
        listener.begin(first.seen)
        while (frames := await outlet.take(over_at - asyncio.get_running_loop().time())) is not None:
            yield b"".join(frames)
    finally:
        deps.one(Hub).leave(listener)


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for one in none:
        yield one


async def _until_over(receive: Any, outlet: DirectOutlet, life_s: float) -> bool:
    """Whether it was the client who left; otherwise it is time for it to come again, elsewhere maybe, or too slow."""
    with suppress(TimeoutError):
        async with asyncio.timeout(life_s) as limit:
            outlet.when_ended(lambda: None if limit.expired() else limit.reschedule(0))
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


def _head(topic: Topic, first: Opening) -> bytes:
    again = f"retry: {random.randint(*AGAIN_MS)}\n\n".encode()  # noqa: S311  # a herd must not come back together
    lost = frame("gap", gap(topic, first.lost)) if first.lost else b""
    return again + lost + b"".join(news.frame for news in first.news)


def _later() -> Reply:
    wait_ms = random.randint(*LATER_MS)  # noqa: S311  # as above
    return Reply(200, f"retry: {wait_ms}\n\n".encode(), EVENTS, HEADERS)


def _life_s(deps: Deps, first: Opening) -> float:
    life_s = deps.settings.stream_life_s * random.uniform(0.9, 1)  # noqa: S311  # as above
    return min(life_s, left_s(first.until_s, deps))


async def _start(send: Send, reply: Reply, more: tuple[tuple[str, str], ...]) -> None:
    told = (("content-type", reply.media_type), *reply.headers, *more)
    headers = [(name.encode(), value.encode()) for name, value in told]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
