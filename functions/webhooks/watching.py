"""Shows how a subscription is doing: its attempts as a log, and its backlog; lists the types of events."""

from functools import cache
from typing import Any

from functions.webhooks.documents import backlog_document, encoded, logged_document
from functions.webhooks.own import own_subscription, page_of
from pulsecart.runtime.contracts import event_types, schema
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.query import cursor_malformed, parameters, parse_integer
from pulsecart.shop.webhooks.db import attempt_log
from pulsecart.shop.webhooks.db.attempt_log import Place
from pulsecart.shop.webhooks.db.backlog import backlog_of
from pulsecart.shop.webhooks.patterns import sent_types

NUMBER_MAX = 2**31 - 1


async def attempts(request: Request, deps: Deps) -> Reply:
    """
    List the attempts of a subscription's messages, the one that began last first.

    Raises:
        Malformed: ``limit`` or ``cursor`` is malformed.
    """
    limit, cursor = page_of(parameters(request.query))
    async with deps.db.transaction() as tx:
        subscription_id = (await own_subscription(tx, request, deps, "read")).subscription_id
        place = None if cursor is None else await _place(tx, subscription_id, cursor)
        found = await attempt_log.newest(tx, subscription_id, before=place, limit=limit + 1)
    page: dict[str, Any] = {"attempts": [logged_document(one) for one in found[:limit]]}
    if len(found) > limit:
        page["next"] = f"{found[limit - 1].message_id}.{found[limit - 1].number}"
    return Reply(200, encoded(page))


async def backlog(request: Request, deps: Deps) -> Reply:
    """Count a subscription's messages that wait and that failed."""
    async with deps.db.transaction() as tx:
        subscription_id = (await own_subscription(tx, request, deps, "read")).subscription_id
        found = await backlog_of(tx, subscription_id)
    return Reply(200, encoded(backlog_document(found)))


async def sent_event_types(request: Request, deps: Deps) -> Reply:
    """List the types of events to which a partner can subscribe, with the words of their contracts."""
    return Reply(200, _event_types())


@cache
def _event_types() -> bytes:
    listed = []
    for one in sorted(sent_types(event_types())):
        contract = schema(one)
        listed.append({"type": one, "title": contract["title"], "description": contract["description"]})
    return encoded({"eventTypes": listed})


async def _place(tx: Tx, subscription_id: str, cursor: str) -> Place:
    message_id, _, digits = cursor.partition(".")
    number = parse_integer(digits, NUMBER_MAX, 1)
    known = is_id(message_id) and number is not None
    place = await attempt_log.place_of(tx, subscription_id, message_id, number or 0) if known else None
    if place is None:
        raise cursor_malformed()
    return place
