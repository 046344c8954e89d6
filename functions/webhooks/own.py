"""Finds the subscription or message of a request's path, and checks that it is the caller's."""

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Forbidden, NotFound
from pulsecart.serving.auth import subject_of
from pulsecart.serving.http import Request
from pulsecart.serving.policy import check
from pulsecart.serving.query import page_limit
from pulsecart.shop.webhooks.db import history, subscriptions
from pulsecart.shop.webhooks.db.history import StoredMessage
from pulsecart.shop.webhooks.subscription import WebhookSubscription

POLICY = "webhook"
PAGE = 100


async def own_subscription(
    tx: Tx, request: Request, deps: Deps, act: str, *, lock: bool = False
) -> WebhookSubscription:
    """
    Return the path's subscription.

    Raises:
        NotFound: there is none, or it is another partner's.
    """
    subscription_id = request.params["id"]
    unknown = subscriptions.unknown(subscription_id)
    if not is_id(subscription_id):
        raise unknown
    subscription = await subscriptions.require(tx, subscription_id, lock=lock)
    _check(request, deps, act, subscription.partner_id, unknown)
    return subscription


async def own_message(tx: Tx, request: Request, deps: Deps, act: str, *, lock: bool = False) -> StoredMessage:
    """
    Return the path's message; with ``lock``, its subscription's rows are locked first.

    Raises:
        NotFound: there is none, or it is another partner's.
    """
    message_id = request.params["id"]
    unknown = history.unknown(message_id)
    if not is_id(message_id):
        raise unknown
    message = await history.require(tx, message_id)
    _check(request, deps, act, message.partner_id, unknown)
    if lock:
        await subscriptions.require(tx, message.subscription_id, lock=True)
    return message


def partner_of(request: Request, deps: Deps, act: str, named: str | None) -> str:
    """
    Return the partner that the caller acts for: the named one, or the caller.

    Raises:
        Forbidden: a partner named another one.
    """
    partner_id = subject_of(request) if named is None else named
    check(request, deps, POLICY, act, owner=partner_id)
    return partner_id


def is_admin(request: Request) -> bool:
    """Return whether the caller is an admin, who may act for every partner."""
    return request.caller is not None and "admin" in request.caller.roles


def page_of(given: dict[str, str], most: int = PAGE) -> tuple[int, str | None]:
    """
    Parse ``limit=``, and return ``cursor=`` with it.

    Raises:
        Malformed: the limit is malformed.
    """
    return page_limit(given, most), given.get("cursor")


def _check(request: Request, deps: Deps, act: str, partner_id: str, unknown: NotFound) -> None:
    """Answer for another partner's thing as for an unknown one: its id discloses nothing."""
    try:
        check(request, deps, POLICY, act, owner=partner_id)
    except Forbidden as refused:
        if refused.type == "not-yours":
            raise unknown from None
        raise
