"""Serves webhook subscriptions, their secrets, messages and attempts; webhook_deliver sends the messages."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from functions.webhooks import messages, watching
from functions.webhooks.bodies import ExampleBody as ExampleBody
from functions.webhooks.bodies import NewSubscriptionBody as NewSubscriptionBody
from functions.webhooks.bodies import ResendBody as ResendBody
from functions.webhooks.bodies import RotationBody as RotationBody
from functions.webhooks.bodies import SubscriptionBody
from functions.webhooks.creation import checked_values, create, rotate
from functions.webhooks.documents import encoded, subscription_document
from functions.webhooks.own import is_admin, own_subscription, page_of, partner_of
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Malformed, Refused
from pulsecart.serving.access import OWN_PARTNER, PARTNER
from pulsecart.serving.bodies import decoded, names_somebody
from pulsecart.serving.etag import check_match, etag_of, is_current, required_match
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.query import cursor_malformed, parameters
from pulsecart.serving.routes import delete, get, post, put
from pulsecart.shop.webhooks.db import subscriptions
from pulsecart.shop.webhooks.subscription import PAUSED_BY_HAND, WebhookSubscription

SUBSCRIPTIONS = "/api/v1/webhook-subscriptions"
MESSAGES = "/api/v1/webhook-messages"
EVENT_TYPES = "/api/v1/webhook-event-types"


async def listed(request: Request, deps: Deps) -> Reply:
    """
    List the partner's subscriptions, newest first; for an admin, those of all partners or of ``partnerId``.

    Raises:
        Malformed: ``partnerId``, ``limit`` or ``cursor`` is malformed.
        Forbidden: a partner named another one.
    """
    given = parameters(request.query)
    limit, before = page_of(given)
    named = given.get("partnerId")
    if named is not None and not names_somebody(named):
        raise Malformed("query-malformed", "partnerId= must have 1 to 64 printable ASCII characters without a space.")
    if before is not None and not is_id(before):
        raise cursor_malformed()
    partner_id = None if named is None and is_admin(request) else partner_of(request, deps, "list", named)
    async with deps.db.transaction() as tx:
        found = await subscriptions.page(tx, partner_id, before=before, limit=limit + 1)
    page: dict[str, Any] = {"subscriptions": [subscription_document(one) for one in found[:limit]]}
    if len(found) > limit:
        page["next"] = found[limit - 1].subscription_id
    return Reply(200, encoded(page))


async def show(request: Request, deps: Deps) -> Reply:
    """Show one subscription, without its secrets."""
    async with deps.db.transaction() as tx:
        subscription = await own_subscription(tx, request, deps, "read")
    etag = etag_of(subscription.version)
    if is_current(request.headers.get("if-none-match"), etag):
        return Reply(304, headers=(("etag", etag),))
    return _shown(subscription)


async def change(request: Request, deps: Deps) -> Reply:
    """
    Replace what a subscription's owner chooses, if it still has If-Match's version.

    Raises:
        Unprocessable: the URL can never be called, or no event of a type is sent.
    """
    if_match, body = required_match(request.headers), decoded(request.body, SubscriptionBody)
    checked = checked_values(body, deps)
    async with deps.db.transaction() as tx:
        before = await own_subscription(tx, request, deps, "change", lock=True)
        check_match(if_match, before.version)
        after = await subscriptions.change(tx, before, replace(before, **checked))
    deps.wake(messages.DELIVERER)
    return _shown(after)


async def remove(request: Request, deps: Deps) -> Reply:
    """Delete a subscription, if it still has If-Match's version; its messages are not sent any more."""
    if_match = required_match(request.headers)
    async with deps.db.transaction() as tx:
        subscription = await own_subscription(tx, request, deps, "change", lock=True)
        check_match(if_match, subscription.version)
        await subscriptions.delete(tx, subscription)
    return Reply(204)


async def pause(request: Request, deps: Deps) -> Reply:
    """
    Keep a subscription's messages back until it is resumed; nothing is lost.

    Raises:
        Refused: it is DISABLED.
    """
    return await _turned(request, deps, _pause)


async def resume(request: Request, deps: Deps) -> Reply:
    """Send the messages of a subscription that is PAUSED, FAILING or DISABLED again, at once."""
    return await _turned(request, deps, _resume)


async def _pause(tx: Tx, before: WebhookSubscription) -> WebhookSubscription:
    if before.status == "DISABLED":
        raise Refused("subscription-disabled", "This subscription is DISABLED, so that nothing is sent. Resume it.")
    return before if before.status == "PAUSED" else await subscriptions.pause(tx, before, PAUSED_BY_HAND)


async def _resume(tx: Tx, before: WebhookSubscription) -> WebhookSubscription:
    return before if before.status == "ACTIVE" else await subscriptions.resume(tx, before)


async def _turned(
    request: Request, deps: Deps, turn: Callable[[Tx, WebhookSubscription], Awaitable[WebhookSubscription]]
) -> Reply:
    async with deps.db.transaction() as tx:
        after = await turn(tx, await own_subscription(tx, request, deps, "change", lock=True))
    deps.wake(messages.DELIVERER)
    return _shown(after)


def _shown(subscription: WebhookSubscription) -> Reply:
    return Reply(200, encoded(subscription_document(subscription)), headers=(("etag", etag_of(subscription.version)),))


webhooks = operation(
    "webhooks",
    routes=[
        post(SUBSCRIPTIONS, create, allow=PARTNER),
        get(SUBSCRIPTIONS, listed, allow=PARTNER),
        get(f"{SUBSCRIPTIONS}/{{id}}", show, allow=OWN_PARTNER),
        put(f"{SUBSCRIPTIONS}/{{id}}", change, allow=OWN_PARTNER),
        delete(f"{SUBSCRIPTIONS}/{{id}}", remove, allow=OWN_PARTNER),
        post(f"{SUBSCRIPTIONS}/{{id}}/secret", rotate, allow=OWN_PARTNER),
        post(f"{SUBSCRIPTIONS}/{{id}}/pause", pause, allow=OWN_PARTNER),
        post(f"{SUBSCRIPTIONS}/{{id}}/resume", resume, allow=OWN_PARTNER),
        post(f"{SUBSCRIPTIONS}/{{id}}/example", messages.send_example, allow=OWN_PARTNER),
        post(f"{SUBSCRIPTIONS}/{{id}}/resend", messages.send_failed_again, allow=OWN_PARTNER),
        get(f"{SUBSCRIPTIONS}/{{id}}/messages", messages.listed, allow=OWN_PARTNER),
        get(f"{SUBSCRIPTIONS}/{{id}}/attempts", watching.attempts, allow=OWN_PARTNER),
        get(f"{SUBSCRIPTIONS}/{{id}}/backlog", watching.backlog, allow=OWN_PARTNER),
        get(f"{MESSAGES}/{{id}}", messages.show, allow=OWN_PARTNER),
        get(f"{MESSAGES}/{{id}}/attempts", messages.attempts, allow=OWN_PARTNER),
        post(f"{MESSAGES}/{{id}}/resend", messages.send_again, allow=OWN_PARTNER),
        post(f"{MESSAGES}/{{id}}/skip", messages.skip, allow=OWN_PARTNER),
        get(EVENT_TYPES, watching.sent_event_types, allow=PARTNER),
    ],
    seals=True,
)
