"""Serves order news over the WebSocket ``/ws/orders``: for one order, several, or all orders of the buyer.

The client sends ``{"type": "subscribe", "orderId": "…", "lastEventId": "3-0"}`` (without ``orderId``: for all its own
orders), ``{"type": "unsubscribe", …}`` or ``{"type": "ping"}``, and receives ``{"event": …, "id": …, "data": …}``: the
same news as an EventSource. uvicorn sends the protocol pings, and closes the connection if the client does not answer.
"""

import asyncio
import random
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pulsecart.edge.streams.client_buffer import Outlet
from pulsecart.edge.streams.hub import Hub, Listener, gap
from pulsecart.edge.streams.news import message
from pulsecart.edge.streams.places import Places
from pulsecart.edge.streams.subscribe import asking_buyer, left_s, opening, over
from pulsecart.edge.streams.topics import BUYER, ORDER, Topic
from pulsecart.runtime.bounds import check_json, check_query
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Malformed, Problem, Unauthorized, Unavailable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.access import Caller
from pulsecart.serving.asgi import head_of
from pulsecart.serving.csrf import check_origin
from pulsecart.serving.http import Request

MESSAGE_MAX = 4_096
SUBSCRIPTIONS_MAX = 32
SEND_S = 10.0
GOING_AWAY, POLICY, TOO_BIG, TRY_LATER = 1001, 1008, 1009, 1013


Word = Annotated[str, msgspec.Meta(max_length=64)]


class Asked(msgspec.Struct):
    type: Word = "subscribe"
    orderId: Word | None = None
    lastEventId: Word | None = None


class Socket:
    """One client's WebSocket and its subscriptions."""

    def __init__(self, websocket: WebSocket, buyer: Caller, deps: Deps) -> None:
        self._websocket = websocket
        self._buyer = buyer
        self._deps = deps
        self._outlet = Outlet()
        self._listeners: dict[str, Listener] = {}

    async def serve(self) -> int:
        """
        Serve until the client disconnects, is too slow, breaks the rules or must reconnect; return a close code.

        Raises:
            Unauthorized: the session or token that opened it has expired.
        """
        life_s = self._deps.settings.stream_life_s * random.uniform(0.9, 1)  # noqa: S311  # reconnect jitter
        known_s = left_s(self._buyer.expires_s, self._deps)
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        try:
            limit_s = min(life_s, known_s)
            done, _ = await asyncio.wait({writing, reading}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not done and known_s <= life_s:
                raise over()
            return done.pop().result() if done else GOING_AWAY
        finally:
            for listener in self._listeners.values():
                self._deps.singleton(Hub).leave(listener)
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def _write(self) -> int:
        while (frames := await self._outlet.take()) is not None:
            for frame in frames:
                async with asyncio.timeout(SEND_S):
                    await self._websocket.send_text(frame.decode())
        return TRY_LATER

    async def _read(self) -> int:
        while (received := await self._websocket.receive())["type"] != "websocket.disconnect":
            text = received.get("text") or ""
            if len(text) > MESSAGE_MAX:
                return TOO_BIG
            try:
                check_json(text.encode())
                await self._obey(msgspec.json.decode(text, type=Asked))
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                self._say(
                    "problem", Malformed("no-command", f"The message is not a valid command: {error}.").document()
                )
            except Problem as problem:
                self._say("problem", problem.document())
            except RedisError:
                return TRY_LATER
        return GOING_AWAY

    async def _obey(self, command: Asked) -> None:
        match command.type:
            case "ping":
                self._say("pong", {})
            case "subscribe":
                await self._subscribe(self._topic(command), command.lastEventId)
            case "unsubscribe":
                listener = self._listeners.pop(self._topic(command).key, None)
                if listener:
                    self._deps.singleton(Hub).leave(listener)
            case other:
                raise Malformed("no-command", f"{other!r} is not a command. Use subscribe, unsubscribe or ping.")

    async def _subscribe(self, topic: Topic, last: str | None) -> None:
        if topic.key in self._listeners:
            return
        if len(self._listeners) >= SUBSCRIPTIONS_MAX:
            raise Forbidden(
                "too-many-subscriptions", f"One WebSocket can subscribe to at most {SUBSCRIPTIONS_MAX} orders."
            )
        listener = Listener(topic, self._outlet, as_message=True)
        first = await opening(listener, last, self._deps, self._buyer)
        self._listeners[topic.key] = listener
        self._say("subscribed", {"orderId": topic.id} if topic.kind is ORDER else {})
        if first.lost:
            self._say("gap", gap(topic, first.lost))
        for news in first.news:
            self._outlet.put(news.message)
        listener.begin(first.seen)

    def _topic(self, command: Asked) -> Topic:
        return BUYER.topic(self._buyer.subject) if command.orderId is None else ORDER.topic(command.orderId)

    def _say(self, event: str, document: Any) -> None:
        self._outlet.put(message(event, document))


async def orders(websocket: WebSocket, deps: Deps) -> None:
    """Check the request's origin and its buyer, and serve the WebSocket."""
    try:
        request = head_of(websocket.scope)
        check_origin(request.headers, deps.settings)
    except (Forbidden, Malformed):
        return await websocket.close(POLICY)  # not yet accepted, so the handshake fails with 403
    await websocket.accept()
    try:
        code = await _served(websocket, request, deps)
    except WebSocketDisconnect:
        return None
    if websocket.application_state is WebSocketState.CONNECTED:
        with suppress(RuntimeError, TimeoutError, WebSocketDisconnect):  # the client has disconnected, or reads nothing
            async with asyncio.timeout(SEND_S):
                await websocket.close(code)
    return None


async def _served(websocket: WebSocket, request: Request, deps: Deps) -> int:
    try:
        check_query(request.query)
        buyer = await asking_buyer(request, deps)
        if buyer is None:
            raise Unauthorized("no-session", "The news of orders need their buyer's session, or a new ticket.")
        place = None if deps.singleton(Hub).closed else deps.singleton(Places).take(request, buyer.subject)
        if place is None:
            return TRY_LATER
        try:
            return await Socket(websocket, buyer, deps).serve()
        finally:
            place.leave()
    except (RedisError, Unavailable):
        return TRY_LATER
    except Problem as problem:
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_S):
                await websocket.send_text(message("problem", problem.document()).decode())
        return POLICY
