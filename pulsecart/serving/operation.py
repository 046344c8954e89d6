"""Defines an operation: its routes and event handlers, called by HTTP and, in process, by the local broker."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import structs

from pulsecart.runtime.bounds import check_event, check_query
from pulsecart.runtime.deps import Deps, deps_of_loop
from pulsecart.runtime.event import CloudEvent, Message
from pulsecart.runtime.problem import Malformed, NotFound, Problem, Unavailable
from pulsecart.runtime.telemetry import metrics, tracing
from pulsecart.runtime.telemetry.logs import bind_event
from pulsecart.runtime.telemetry.stall import running
from pulsecart.runtime.telemetry.tracing import span
from pulsecart.runtime.wakeups import WAKE_PATH
from pulsecart.serving import cloudevents, signatures
from pulsecart.serving.access import PUBLIC
from pulsecart.serving.auth import admit
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of
from pulsecart.serving.replies import failed_delivery, reply_of
from pulsecart.serving.routes import Route, RouteTable
from pulsecart.serving.subscriptions import PING, Received, Subscription

Wake = Callable[[Deps], Awaitable[None]]
Unreadable = Callable[[Request, str, Deps], Awaitable[None]]


@dataclass(slots=True)
class Operation:
    """
    Routes requests and events to the operation's handlers, within its limits.

    Args:
        emits: messages that it may write to the log; the catalogue lists them, tests enforce them.
        wake: does all due work and stays awake while more is due soon; called by a wake-up and by a PingSource's tick.
        connections: maximum number of PostgreSQL connections that this operation holds in one process.
        concurrency: maximum number of in-flight requests; further ones are answered 503.
        deadline_s: time limit per request; None if the operation sets it itself, after replies from memory.
        unreadable: handles a posted event that is no CloudEvent, with the reason; if None, it is rejected.
        max_body_bytes: maximum size of an event; None: the setting MAX_BODY_BYTES.
        takes_unsigned: the handler also receives posted events without a valid signature, marked as such.
        redis: whether it uses Redis; deployed on its own, an operation that does not needs no REDIS_URL.
        seals: whether it seals or opens partners' secrets; it then needs WEBHOOK_KEYS.
    """

    name: str
    routes: Sequence[Route] = ()
    subscriptions: Sequence[Subscription] = ()
    emits: Sequence[type[Message]] = ()
    wake: Wake | None = None
    connections: int = 2
    concurrency: int = 256
    deadline_s: float | None = 30.0
    unreadable: Unreadable | None = None
    max_body_bytes: int | None = None
    takes_unsigned: bool = False
    redis: bool = False
    seals: bool = False
    _running: int = 0
    _table: RouteTable[Route] = field(default_factory=RouteTable)
    _shared: dict[int, Deps] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.wake is not None:
            self.subscriptions = (*self.subscriptions, Subscription(None, PING, self._tick))
        for route in self.routes:
            self._table.add(route.method, route.path, route)

    @property
    def dns_name(self) -> str:
        """Return the operation's name on a cluster and in ``eventing/``."""
        return self.name.replace("_", "-")

    @property
    def events(self) -> tuple[str, ...]:
        """Return the event types that it subscribes to."""
        return tuple(subscription.type for subscription in self.subscriptions)

    @property
    def verifies_events(self) -> bool:
        """Return whether it handles events that need a signature; a PingSource's tick needs none."""
        return any(subscription.type != PING for subscription in self.subscriptions)

    async def answer(self, request: Request, deps: Deps) -> Reply:
        """Handle an HTTP request: reply by its route, or deliver the posted CloudEvent."""
        found = self._table.find(request.method, request.path)
        if found is not None:
            route, request.params = found
            return await self.respond(route, request, deps)
        if self.wake is not None and (request.method, request.path) == ("POST", WAKE_PATH):
            return await self._reply_to_wake_up(deps)
        if not self.subscriptions or request.method != "POST":
            return reply_of(NotFound("no-such-route", f"{self.name} has no {request.method} {request.path}."))
        try:
            event = cloudevents.decode(request.headers, request.body)
        except Problem as error:
            return await self._unread(request, error, deps)
        if self.wake is not None and event.type == PING:  # needs no signature: it only runs due work
            return await self.handle_event(event, deps, request.path)
        refused = signatures.refusal(event, self.name, deps)
        if refused is not None and not self.takes_unsigned:
            return failed_delivery(refused, deps.settings.retry_refused)
        return await self.handle_event(event, deps, request.path, signed=refused is None)

    async def _unread(self, request: Request, reason: Problem, deps: Deps) -> Reply:
        if self.unreadable is None:
            return reply_of(reason)
        try:
            await self.unreadable(request, reason.detail, self._own(deps))
        except Exception as error:
            return failed_delivery(error, deps.settings.retry_refused)
        return Reply(204)

    async def respond(self, route: Route, request: Request, deps: Deps) -> Reply:
        """Authorize the request, call the route's handler within this operation's limits, set the Correlation-Id."""
        correlation_id = correlation_of(request)
        request.headers["correlation-id"] = correlation_id
        if "traceparent" in request.headers and tracing.parsed(request.headers["traceparent"]) is None:
            del request.headers["traceparent"]  # W3C Trace Context: ignore an invalid one
        if self._running >= self.concurrency:
            reply = reply_of(Unavailable("busy", f"{self.concurrency} requests are in flight, the maximum. Try again."))
        else:
            self._running += 1
            try:
                with running(self.name) as _here:
                    if self.deadline_s is None:
                        reply = await self._admitted(route, request, deps)
                    else:
                        async with asyncio.timeout(request.within(self.deadline_s)):
                            reply = await self._admitted(route, request, deps)
            except Exception as error:
                reply = reply_of(error)
            finally:
                self._running -= 1
        reply.headers = (*reply.headers, *request.reply_headers, ("correlation-id", correlation_id))
        return reply

    async def _admitted(self, route: Route, request: Request, deps: Deps) -> Reply:
        if request.query:
            check_query(request.query)
        if route.allow is not PUBLIC:
            request.route = id(route)
            await admit(request, route.allow, deps)
        return await route.handler(request, self._own(deps))

    async def handle_event(self, event: CloudEvent, deps: Deps, path: str = "/", *, signed: bool = True) -> Reply:
        """Handle an event; reply an empty 2xx, a reply event, or a status by which the broker retries or gives up."""
        began = time.perf_counter()
        about = {"event.type": event.type, "event.source": event.source, "event.id": event.id}
        parent = event.extensions.get("traceparent")
        with running(self.name) as _here, bind_event(event), span(f"{self.name} handles", parent, about) as trace:
            if tracing.on():  # emitted events become children of this delivery
                event = structs.replace(event, extensions={**event.extensions, "traceparent": trace.traceparent})
            reply = await self._handle(event, deps, path, signed)
            trace.set("http.response.status_code", reply.status)
        metrics.delivery(self.name, reply.status).add((time.perf_counter() - began) * 1000)
        return reply

    async def _handle(self, event: CloudEvent, deps: Deps, path: str, signed: bool) -> Reply:
        try:
            subscription = self._listener(event.type)
            if subscription.message is not None:  # dead letters are stored unchecked
                check_event(event)
            received = Received(event, subscription.data_of(event), path, signed)
            reply = await subscription.handler(received, self._own(deps))
        except Exception as error:
            return failed_delivery(error, deps.settings.retry_refused)
        return self._reply(reply, deps) if reply is not None else Reply(204)

    def _reply(self, event: CloudEvent, deps: Deps) -> Reply:
        """Sign the reply event: the broker delivers it to operations that verify signatures."""
        known = deps.singleton(signatures.keys)
        return cloudevents.reply(known.signed(event) if known else event)

    async def _tick(self, event: Received[bytes], deps: Deps) -> None:
        await self._wake(deps)

    async def _reply_to_wake_up(self, deps: Deps) -> Reply:
        """Reply when the operation goes back to sleep: a pod with an in-flight request is not scaled down."""
        try:
            await self._wake(self._own(deps))
        except Exception as error:
            return reply_of(error)
        return Reply(204)

    async def _wake(self, deps: Deps) -> None:
        if deps.wake_ups.knows(self.name):  # registered: this process stays up anyway
            deps.wake_ups.wake(self.name)
        elif self.wake is not None:
            await self.wake(deps)

    def _listener(self, event_type: str) -> Subscription:
        for subscription in self.subscriptions:
            if subscription.type in (event_type, "*"):
                return subscription
        raise Malformed(
            "unknown-type", f"{self.name} does not subscribe to {event_type}. Correct the Trigger's filter."
        )

    def _own(self, deps: Deps) -> Deps:
        own = self._shared.get(id(deps))
        if own is None:
            own = self._shared[id(deps)] = deps.share(self.name, self.connections)
        return own


class OperationFunction(Protocol):
    """Describes the result of ``operation()``: a function for functions-framework with its operation attached."""

    operation: Operation

    def __call__(self, request: Any) -> Awaitable[Any]: ...


def operation(
    name: str,
    *,
    routes: Sequence[Route] = (),
    events: Sequence[Subscription] = (),
    emits: Sequence[type[Message]] = (),
    wake: Wake | None = None,
    connections: int = 2,
    concurrency: int = 256,
    deadline_s: float | None = 30.0,
    unreadable: Unreadable | None = None,
    max_body_bytes: int | None = None,
    takes_unsigned: bool = False,
    redis: bool = False,
    seals: bool = False,
) -> OperationFunction:
    """Create an operation as an async function for functions-framework (Starlette request in, response out)."""
    limits = connections, concurrency, deadline_s, unreadable, max_body_bytes, takes_unsigned, redis, seals
    made = Operation(name, routes, events, emits, wake, *limits)

    async def function(request: Any) -> Any:
        from pulsecart.serving import functions_framework as starlette_adapter

        return await starlette_adapter.answer(made, request, deps_of_loop())

    function.__name__ = function.__qualname__ = name
    function.operation = made  # type: ignore[attr-defined]  # functions-framework requires a plain function
    if "functions_framework" in sys.modules:
        from pulsecart.serving.server.framework import register

        register(name)
    return function  # type: ignore[return-value]  # as above
