"""Creates subscriptions and secrets: a secret is shown in one reply, and stored sealed."""

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from functions.webhooks.bodies import NewSubscriptionBody, RotationBody, SubscriptionBody
from functions.webhooks.documents import encoded, subscription_document
from functions.webhooks.own import is_admin, own_subscription, partner_of
from pulsecart.bridges.outgoing_http.results import NotAllowed
from pulsecart.bridges.outgoing_http.urls import check_url
from pulsecart.runtime.contracts import event_types
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.db.first_replies import first_reply, keep
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.runtime.outgoing_allow import allowed_of
from pulsecart.runtime.problem import Unprocessable
from pulsecart.runtime.sealing import sealing
from pulsecart.serving.auth import subject_of
from pulsecart.serving.bodies import decoded
from pulsecart.serving.etag import etag_of
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import first_again, key_of
from pulsecart.shop.webhooks.db import subscriptions
from pulsecart.shop.webhooks.db.secrets import SECRETS
from pulsecart.shop.webhooks.new_secrets import new_private_key, new_secret
from pulsecart.shop.webhooks.patterns import check_patterns
from pulsecart.shop.webhooks.signature import Secret
from pulsecart.shop.webhooks.subscription import PAUSED_BY_HAND, SignatureKind, WebhookSubscription

WHERE = "/api/v1/webhook-subscriptions/"
NO_STORE = ("cache-control", "no-store")
Store = Callable[[Tx, str, str, bytes], Awaitable[object]]


class Versioned(msgspec.Struct):
    """The version in a stored reply."""

    version: int


async def create(request: Request, deps: Deps) -> Reply:
    """
    Create a subscription. The reply alone shows its secret; a repetition with the same Idempotency-Key gets that reply.

    Raises:
        Forbidden: a partner named another one.
        Unprocessable: the URL can never be called, or no event of a type is sent.
        Refused: the partner has too many subscriptions.
    """
    body, key = decoded(request.body, NewSubscriptionBody), key_of(request, subject_of(request))
    if body.partnerId is None and is_admin(request):
        raise Unprocessable("partner-missing", "Name the partner in partnerId: an admin has no own subscriptions.")
    partner_id = partner_of(request, deps, "create", body.partnerId)
    checked = checked_values(body, deps)
    async with deps.db.transaction() as tx:
        await subscriptions.take_turns(tx, f"partner {partner_id}", *([f"key {key.scope.hex()}"] if key else []))
        again = await _first_again(tx, deps, key)
        if again is not None:
            return again
        subscription = WebhookSubscription(
            subscription_id=deps.new_id(),
            partner_id=partner_id,
            signature=body.signature,
            status="PAUSED" if body.paused else "ACTIVE",
            status_reason=PAUSED_BY_HAND if body.paused else "",
            status_since=tx.now,
            created_at=tx.now,
            updated_at=tx.now,
            **checked,
        )
        await subscriptions.create(tx, subscription)
        shown = await _new_secret(tx, deps, subscription, body.signature, SECRETS.add)
        return await _kept(tx, deps, key, subscription, subscription_document(subscription) | shown)


async def rotate(request: Request, deps: Deps) -> Reply:
    """
    Make a new secret, which this reply alone shows; the earlier ones sign, too, until the overlap ends.

    Raises:
        Refused: too many secrets would sign at the same time.
    """
    body, key = decoded(request.body or b"{}", RotationBody), key_of(request, subject_of(request))
    async with deps.db.transaction() as tx:
        subscription = await own_subscription(tx, request, deps, "change", lock=True)
        again = await _first_again(tx, deps, key)
        if again is not None:
            return again
        kind = subscription.signature if body.signature is msgspec.UNSET else body.signature
        overlap = timedelta(seconds=body.overlapS)

        shown = await _new_secret(tx, deps, subscription, kind, partial(SECRETS.rotate, overlap=overlap))
        subscription = await subscriptions.change(tx, subscription, replace(subscription, signature=kind))
        document = {
            "subscriptionId": subscription.subscription_id,
            "signature": kind,
            "version": subscription.version,
            "earlierUntil": rfc3339(tx.now + overlap),
            **shown,
        }
        return await _kept(tx, deps, key, subscription, document)


def checked_values(body: SubscriptionBody, deps: Deps) -> dict[str, Any]:
    """
    Return the members of a subscription that its owner chooses.

    Raises:
        Unprocessable: the URL can never be called, or no event of a type is sent.
    """
    try:
        check_url(body.url, allowed_of(deps.settings.outgoing_allow))
    except NotAllowed as refused:
        raise Unprocessable("url-not-allowed", str(refused), reason=refused.reason) from None
    return {
        "url": body.url,
        "event_types": check_patterns(body.eventTypes, event_types()),
        "content_mode": body.contentMode,
        "ordered": body.ordered,
        "concurrency": body.concurrency,
        "rate_per_s": body.ratePerS,
        "schedule_s": body.scheduleS,
        "consent": body.consent,
    }


async def _new_secret(
    tx: Tx, deps: Deps, subscription: WebhookSubscription, kind: SignatureKind, store: Store
) -> dict[str, str]:
    """Make and store a secret; return the member that its owner needs to verify signatures."""
    text = new_secret() if kind == "v1" else new_private_key()
    sealed = deps.singleton(sealing).seal(text, subscription.subscription_id)
    await store(tx, subscription.subscription_id, deps.new_id(), sealed)
    return {"secret": text} if kind == "v1" else {"publicKey": Secret(text).public}


async def _first_again(tx: Tx, deps: Deps, key: Key | None) -> Reply | None:
    first = await first_reply(tx, key)
    if first is None:
        return None
    shown = deps.singleton(sealing).open(b64decode(first.body), first.location.removeprefix(WHERE))
    return _reply(first, key, shown)


async def _kept(
    tx: Tx, deps: Deps, key: Key | None, subscription: WebhookSubscription, document: dict[str, Any]
) -> Reply:
    """Store the reply to this key, sealed because it shows a secret, and return it."""
    body = encoded(document)
    sealed = deps.singleton(sealing).seal(body.decode(), subscription.subscription_id)
    first = await keep(tx, key, 201, b64encode(sealed).decode(), WHERE + subscription.subscription_id)
    return _reply(first, key, body.decode())


def _reply(first: FirstReply, key: Key | None, opened: str) -> Reply:
    etag = etag_of(msgspec.json.decode(opened, type=Versioned).version)
    return first_again(
        msgspec.structs.replace(first, body=opened), key, (("location", first.location), ("etag", etag), NO_STORE)
    )
