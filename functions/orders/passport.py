"""
Builds an order's passport: its request, its steps, its events, and every delivery of each, as far as stored.

The time of a successful delivery is known when the operation records the event (pay, fulfil, refund) or changed the
order's status because of it (reserve). For the others (notify, project-orders) the tables only show that the trigger's
cursor is past the event; the number of earlier attempts is not stored. The passport lists every external call made for
the order with its time, result and error, whichever delivery or request made it.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from pulsecart.broker import delivery_trail
from pulsecart.broker.dead_letters.table import place_of
from pulsecart.broker.delivery_trail import Deliveries, Logged
from pulsecart.broker.manifests.eventing import Trigger, load_all
from pulsecart.edge.streams.topics import ORDER
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Identity, rfc3339
from pulsecart.runtime.first_replies import scope_of
from pulsecart.runtime.redis_breaker import Breaker
from pulsecart.runtime.redis_error import RedisError
from pulsecart.shop.carts.db import carts
from pulsecart.shop.orders.db import history
from pulsecart.shop.orders.db.history import Step
from pulsecart.shop.orders.order import Order, order_document
from pulsecart.shop.payments.db import calls, payments
from pulsecart.shop.payments.db.calls import Call

RELAY = "/relay"  # the relay's cursor: a cluster's broker does not report its deliveries
PATHS = {"sync": "/api/v1/sync/purchase", "async": "/api/v1/async/purchase", "orders": "/api/v1/orders"}


async def passport_of(order: Order, deps: Deps, *, errors: bool = False) -> dict[str, Any]:
    """
    Return the passport as JSON members. A delivery's ``result`` is one of: finished (with the time), delivered, failed
    (ended, and none of its external calls was answered), waiting (failed so far, or behind a failed one), given-up,
    to-come, with-the-broker. A delivery that was given up and replayed has both times.

    Args:
        errors: include the errors of failed operations; they contain internals that customers must not see.
    """
    triggers = _triggers()
    async with deps.db.transaction() as tx:
        steps = await history.of_order(tx, order.order_id)
        logged = await delivery_trail.events_of(tx, order, [step.xid for step in steps])
        called = sorted({_operation(trigger) for trigger in triggers})
        known = await delivery_trail.deliveries_of(tx, logged, [trigger.name for trigger in triggers], called)
        known = replace(known, finished=_taken(steps, logged) | known.finished)
        request = await _request(tx, order, steps)
        payment = await _payment(tx, order)
        attempts = await calls.of_order(tx, order.order_id)
        known = replace(known, unanswered=_unanswered(attempts))
    stream = await _stream(order, deps)
    return {
        "order": order_document(order),
        "request": request,
        "payment": payment,
        "attempts": [_attempt(call, errors) for call in attempts],
        "steps": [_step(step) for step in steps],
        "events": [_event(one, triggers, known, stream, errors) for one in logged],
    }


@cache
def _triggers() -> tuple[Trigger, ...]:
    return load_all().triggers


def _unanswered(attempts: Sequence[Call]) -> frozenset[tuple[str, Identity]]:
    """Return the (operation, event) pairs whose external calls all remained unanswered."""
    made = {(call.operation, call.cause) for call in attempts}
    answered = {(call.operation, call.cause) for call in attempts if call.result and not call.error}
    return frozenset((operation, event) for operation, event in made - answered if event)


def _attempt(call: Call, errors: bool) -> dict[str, Any]:
    """Return one attempt of an external call; an error text that is not a problem's is for admins only."""
    error = call.error if errors or call.result != "ERROR" else "unexpected error"
    return {
        "call": call.call,
        "operation": call.operation,
        "causedBy": call.caused_by,
        "at": rfc3339(call.began_at),
        "endedAt": rfc3339(call.ended_at) if call.ended_at else None,
        "result": call.result or "UNKNOWN",
        "error": error,
    }


def _taken(steps: Sequence[Step], logged: Sequence[Logged]) -> dict[tuple[str, Identity], datetime]:
    """(operation, event) → when it changed the order's status. Older steps store only the event's id."""
    actors = [(step.actor.rpartition(":")[2], step) for step in steps if step.actor.startswith("operation:")]
    return {
        (operation, event.identity): step.at
        for operation, step in actors
        for event in [one.event for one in logged]
        if step.caused_by == event.id and step.caused_by_source in (None, event.source)
    }


def _operation(trigger: Trigger) -> str:
    return (trigger.subscriber.service or "").replace("-", "_")


async def _request(tx: Tx, order: Order, steps: Sequence[Step]) -> dict[str, Any]:
    key = steps[0].idempotency_key if steps else None
    request: dict[str, Any] = {"at": rfc3339(order.created_at), "idempotencyKey": key}
    request["correlationId"], request["traceparent"] = order.correlation_id, order.traceparent
    cart_id = await carts.ordered_as(tx, order.order_id)
    path = f"/api/v1/carts/{cart_id}/checkout" if cart_id else PATHS[order.path]
    request["request"] = f"POST {path}"
    if key is not None:
        reply = await delivery_trail.first_reply(tx, scope_of(order.buyer_id, "POST", path, key))
        request["reply"] = {"status": reply[0], "at": rfc3339(reply[1])} if reply else None
    return request


async def _payment(tx: Tx, order: Order) -> dict[str, Any] | None:
    found = (await payments.of_orders(tx, [order.order_id])).get(order.order_id)
    if found is None:
        return None
    return {
        "paymentId": found.payment_id,
        "status": found.status,
        "amount": found.amount,
        "currency": found.currency,
    }


async def _stream(order: Order, deps: Deps) -> frozenset[str] | None:
    """Return the ids now in the order's live stream; None when Redis fails or does not answer."""
    try:
        entries: Any = await deps.singleton(Breaker).ask(lambda: deps.redis.xrange(ORDER.topic(order.order_id).key))
    except RedisError:
        return None
    return frozenset(id.decode() for id, _ in entries)


def _step(step: Step) -> dict[str, Any]:
    named = {"sequence": step.sequence, "status": step.status, "at": rfc3339(step.at), "actor": step.actor}
    return named | {"causedBy": step.caused_by, "causedBySource": step.caused_by_source}


def _event(
    one: Logged, triggers: Sequence[Trigger], known: Deliveries, stream: frozenset[str] | None, errors: bool
) -> dict[str, Any]:
    event = one.event
    stream_id = f"{event.sequence}-0"
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "sequence": event.sequence,
        "position": one.position,
        "time": event.attributes().get("time"),
        "loggedAt": rfc3339(one.logged_at),
        "causationId": event.extensions.get("causationid"),
        "streamId": stream_id,
        "inStream": None if stream is None else stream_id in stream,
        **_data(event.data),
        "deliveries": [_delivery(one, trigger, known, errors) for trigger in triggers if trigger.wants(event)],
    }


def _data(data: bytes | None) -> dict[str, Any]:
    """Return the data as JSON if it is valid JSON, else as base64."""
    try:
        return {"data": msgspec.json.decode(data or b"null")}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"data": None, "dataBase64": b64encode(data or b"").decode()}


def _delivery(one: Logged, trigger: Trigger, known: Deliveries, errors: bool) -> dict[str, Any]:
    operation = _operation(trigger)
    named: dict[str, Any] = {"trigger": trigger.name, "operation": operation}
    finished = known.finished.get((operation, one.event.identity))
    waiting = known.waiting.get((trigger.name, one.position))
    given_up = known.given_up.get(place_of(trigger.name, one.event))
    if waiting is not None:
        due = rfc3339(waiting.due_at) if waiting.due_at else None
        delivery: dict[str, Any] = {
            "result": "waiting",
            "attempts": waiting.attempts,
            "dueAt": due,
            "errorCode": waiting.error_code,
        }
    elif finished is not None:
        delivery = {"result": "finished", "at": rfc3339(finished)}
    elif given_up is not None and given_up.replayed_at is None:
        delivery = {"result": "given-up", "at": rfc3339(given_up.at), "errorCode": given_up.error_code}
        if errors:
            delivery["error"] = given_up.error_data
        if given_up.discarded_at is not None:
            delivery["discardedAt"] = rfc3339(given_up.discarded_at)
    else:
        delivery = {"result": _passed(one, trigger, known)}
        if delivery["result"] == "delivered" and (operation, one.event.identity) in known.unanswered:
            delivery = {"result": "failed"}
    if given_up is not None and given_up.replayed_at is not None:
        delivery |= {"givenUpAt": rfc3339(given_up.at), "replayedAt": rfc3339(given_up.replayed_at)}
    return named | delivery


def _passed(one: Logged, trigger: Trigger, known: Deliveries) -> str:
    if trigger.name not in known.cursors and RELAY in known.cursors:
        return "with-the-broker" if (RELAY, one.position) in known.passed else "to-come"
    return "delivered" if (trigger.name, one.position) in known.passed else "to-come"
