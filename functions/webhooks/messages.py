"""Shows messages and attempts, and sends messages again, skips them, or sends an example."""

from typing import Any, get_args

import msgspec

from functions.webhooks.bodies import ExampleBody, ResendBody
from functions.webhooks.documents import EXAMPLES, attempt_documents, encoded, message_document
from functions.webhooks.own import own_message, own_subscription, page_of
from pulsecart.runtime.contracts import event_types, schema
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, is_id, padded, schema_of
from pulsecart.runtime.problem import Malformed
from pulsecart.serving import cloudevents
from pulsecart.serving.bodies import decoded
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of
from pulsecart.serving.query import cursor_malformed, parameters, parse_integer
from pulsecart.shop.webhooks.db import by_hand, history
from pulsecart.shop.webhooks.db.history import MessageStatus
from pulsecart.shop.webhooks.patterns import sent_types, unknown_types

DELIVERER = "webhook_deliver"
STATES = get_args(MessageStatus)
NEWEST_FIRST, OLDEST_FIRST = "-created", "created"
ATTEMPTS_PAGE = 20  # each has the bodies of its request and response
NUMBER_MAX = 2**31 - 1


async def listed(request: Request, deps: Deps) -> Reply:
    """
    List a subscription's messages, newest first, or by ``sort`` oldest first.

    Raises:
        Malformed: ``status``, ``sort``, ``limit`` or ``cursor`` is malformed.
    """
    given = parameters(request.query)
    limit, cursor = page_of(given)
    status, sort = given.get("status"), given.get("sort", NEWEST_FIRST)
    if status is not None and status not in STATES:
        raise Malformed("query-malformed", f"status= must be one of {', '.join(STATES)}.")
    if sort not in (NEWEST_FIRST, OLDEST_FIRST):
        raise Malformed("query-malformed", f"sort= must be {NEWEST_FIRST} or {OLDEST_FIRST}.")
    async with deps.db.transaction() as tx:
        id = (await own_subscription(tx, request, deps, "read")).subscription_id
        after = None if cursor is None else await _position(tx, id, cursor)
        found = await history.messages(
            tx, id, status=status, oldest_first=sort == OLDEST_FIRST, after=after, limit=limit + 1
        )
    page: dict[str, Any] = {"messages": [message_document(one, tx.now) for one in found[:limit]]}
    if len(found) > limit:
        page["next"] = found[limit - 1].message_id
    return Reply(200, encoded(page))


async def _position(tx: Tx, subscription_id: str, cursor: str) -> int:
    position = await history.position_of(tx, subscription_id, cursor) if is_id(cursor) else None
    if position is None:
        raise cursor_malformed()
    return position


async def show(request: Request, deps: Deps) -> Reply:
    """Show a message with its event."""
    async with deps.db.transaction() as tx:
        message = await own_message(tx, request, deps, "read")
        event = await history.event_of(tx, message.message_id)
    return Reply(200, encoded(message_document(message, tx.now) | {"event": msgspec.Raw(event)}))


async def attempts(request: Request, deps: Deps) -> Reply:
    """
    List the attempts to send a message, newest first, each with request and response.

    Raises:
        Malformed: ``limit`` or ``cursor`` is malformed.
    """
    limit, cursor = page_of(parameters(request.query), ATTEMPTS_PAGE)
    before = None if cursor is None else parse_integer(cursor, NUMBER_MAX, 1)
    if cursor is not None and before is None:
        raise cursor_malformed()
    async with deps.db.transaction() as tx:
        message = await own_message(tx, request, deps, "read")
        found = await history.attempts(tx, message.message_id, before=before, limit=limit + 1)
        event = await history.event_of(tx, message.message_id)
    page: dict[str, Any] = {"attempts": list(attempt_documents(found[:limit], event))}
    if len(found) > limit:
        page["next"] = str(found[limit - 1].number)
    return Reply(200, encoded(page))


async def send_again(request: Request, deps: Deps) -> Reply:
    """
    Send a message again, whatever its status, with its whole schedule of retries.

    Raises:
        Refused: an attempt is in flight.
    """
    async with deps.db.transaction() as tx:
        message = await own_message(tx, request, deps, "send", lock=True)
        await by_hand.send_again(tx, message)
        message = await history.require(tx, message.message_id)
    deps.wake(DELIVERER)
    return Reply(202, encoded(message_document(message, tx.now)))


async def skip(request: Request, deps: Deps) -> Reply:
    """
    End a message that was not delivered, so that the next one of its lane is sent.

    Raises:
        Refused: it was delivered, or an attempt is in flight.
    """
    async with deps.db.transaction() as tx:
        message = await own_message(tx, request, deps, "send", lock=True)
        await by_hand.skip(tx, message)
        message = await history.require(tx, message.message_id)
    deps.wake(DELIVERER)
    return Reply(200, encoded(message_document(message, tx.now)))


async def send_failed_again(request: Request, deps: Deps) -> Reply:
    """Send a subscription's messages again that failed at a time or later, or only count them."""
    body = decoded(request.body, ResendBody)
    async with deps.db.transaction() as tx:
        subscription_id = (await own_subscription(tx, request, deps, "send")).subscription_id
        until = tx.now
        count = await by_hand.failed_since(tx, subscription_id, body.since, until)
    if body.dryRun:
        return Reply(200, encoded({"count": count, "dryRun": True}))
    count = 0
    while True:
        async with deps.db.transaction() as tx:
            await own_subscription(tx, request, deps, "send", lock=True)
            sent = await by_hand.send_failed_again(tx, subscription_id, body.since, until)
        count += sent
        deps.wake(DELIVERER)
        if sent < by_hand.AT_ONCE:
            return Reply(202, encoded({"count": count, "dryRun": False}))


async def send_example(request: Request, deps: Deps) -> Reply:
    """
    Send the example of an event type's contract to this subscription alone, marked by the extension ``example``.

    Raises:
        Unprocessable: no event of this type is sent.
    """
    body = decoded(request.body, ExampleBody)
    if body.eventType not in sent_types(event_types()):
        raise unknown_types([body.eventType])
    message_id = deps.new_id()
    async with deps.db.transaction() as tx:
        subscription = await own_subscription(tx, request, deps, "send", lock=True)
        event = _example(body.eventType, deps, request)
        await by_hand.add_example(tx, subscription.subscription_id, message_id, event, cloudevents.structured(event))
        message = await history.require(tx, message_id)
    deps.wake(DELIVERER)
    return Reply(202, encoded(message_document(message, tx.now)))


def _example(event_type: str, deps: Deps, request: Request) -> CloudEvent:
    event_id = deps.new_id()
    named = {"example": "true", "partitionkey": event_id, "sequence": padded(1)}
    return CloudEvent(
        id=event_id,
        source=EXAMPLES,
        type=event_type,
        time=deps.clock.now(),
        subject=event_id,
        dataschema=schema_of(event_type),
        data=msgspec.json.encode(schema(event_type)["examples"][0]),
        extensions={**named, "correlationid": correlation_of(request)},
    )
