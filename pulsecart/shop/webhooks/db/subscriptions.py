"""Stores webhook subscriptions with their patterns and the row of their queue."""

from dataclasses import replace
from typing import Any

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.problem import NotFound, Refused
from pulsecart.shop.webhooks.db import queue
from pulsecart.shop.webhooks.db.lanes import released
from pulsecart.shop.webhooks.db.secrets import SECRETS
from pulsecart.shop.webhooks.subscription import HELD, Status, WebhookSubscription

PER_PARTNER = 50
COLUMNS = """subscription_id::text, partner_id, url, event_types, content_mode, signature, ordered, concurrency,
    rate_per_s, schedule_s, consent, status, status_reason, status_since, version, created_at, updated_at"""
SELECT = f"SELECT {COLUMNS} FROM webhook_subscriptions WHERE deleted_at IS NULL"
UPDATE = """
    UPDATE webhook_subscriptions SET url = %s, event_types = %s, content_mode = %s, signature = %s, ordered = %s,
        concurrency = %s, rate_per_s = %s, schedule_s = %s, consent = %s, status = %s, status_reason = %s,
        status_since = %s, version = %s, updated_at = %s
    WHERE subscription_id = %s
"""


async def take_turns(tx: Tx, *names: str) -> None:
    """Wait until no other transaction holds one of these names; hold them until this transaction ends."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || name, 0)) FROM unnest(%s::text[]) AS name",
        (sorted(names),),
    )


async def create(tx: Tx, new: WebhookSubscription) -> None:
    """
    Insert a subscription, its patterns and its queue; the caller holds the partner's name (``take_turns``).

    Raises:
        Refused: the partner has PER_PARTNER subscriptions.
    """
    row = await tx.row(
        "SELECT count(*) FROM webhook_subscriptions WHERE partner_id = %s AND deleted_at IS NULL", (new.partner_id,)
    )
    if row and row[0] >= PER_PARTNER:
        raise Refused(
            "too-many-webhooks",
            f"A partner may have {PER_PARTNER} webhook subscriptions. Delete one, or add event types to one.",
            limit=PER_PARTNER,
        )
    await tx.execute(
        """
        INSERT INTO webhook_subscriptions (subscription_id, partner_id, url, event_types, content_mode, signature,
            ordered, concurrency, rate_per_s, schedule_s, consent, status, status_reason, status_since, version,
            created_at, updated_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            *(new.subscription_id, new.partner_id, new.url, list(new.event_types), new.content_mode, new.signature),
            *(new.ordered, new.concurrency, new.rate_per_s, list(new.schedule_s), new.consent, new.status),
            *(new.status_reason, new.status_since, new.version, new.created_at, new.updated_at),
        ),
    )
    await tx.execute(
        "INSERT INTO webhook_queues (subscription_id, held) VALUES (%s, %s)", (new.subscription_id, new.status in HELD)
    )
    await _subscribe(tx, new)


async def require(tx: Tx, subscription_id: str, *, lock: bool = False) -> WebhookSubscription:
    """
    Return the subscription; with ``lock``, its queue's row and then its own are locked, the order of every writer.

    Raises:
        NotFound: there is none, or it was deleted.
        Busy: the rows stayed locked.
    """
    if lock:
        await tx.execute("SELECT FROM webhook_queues WHERE subscription_id = %s FOR UPDATE", (subscription_id,))
    row = await tx.row(
        f"{SELECT} AND subscription_id = %s {'FOR NO KEY UPDATE' if lock else ''}",
        (subscription_id,),
    )
    if row is None:
        raise unknown(subscription_id)
    return subscription_of(row)


async def page(tx: Tx, partner_id: str | None, *, before: str | None, limit: int) -> list[WebhookSubscription]:
    """Return the newest subscriptions of a partner (None: of all); with ``before``, those older than that one."""
    rows = await tx.rows(
        f"""
        {SELECT} AND (%(partner)s::text IS NULL OR partner_id = %(partner)s)
            AND subscription_id < coalesce(%(before)s, 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid
        ORDER BY subscription_id DESC LIMIT %(limit)s
        """,
        {"partner": partner_id, "before": before, "limit": limit},
    )
    return [subscription_of(row) for row in rows]


async def change(tx: Tx, before: WebhookSubscription, wanted: WebhookSubscription) -> WebhookSubscription:
    """Store the wanted values of a locked subscription as its next version; without a difference, change nothing."""
    if wanted == before:
        return before
    after = await _store(tx, wanted)
    if set(after.event_types) != set(before.event_types):
        await _unsubscribe(tx, after.subscription_id)
        await _subscribe(tx, after)
    if after.url != before.url:  # what was learned about the old endpoint
        await tx.execute(
            """
            UPDATE webhook_queues SET consent_at = NULL, consented = NULL, allowed_per_min = NULL, not_before = NULL,
                slowed = 0 WHERE subscription_id = %s
            """,
            (after.subscription_id,),
        )
    if after.rate_per_s != before.rate_per_s:
        await tx.execute(
            "UPDATE webhook_queues SET next_free_at = NULL WHERE subscription_id = %s", (after.subscription_id,)
        )
    if before.ordered and not after.ordered:
        await released(tx, after.subscription_id)
    await queue.recompute(tx, [after.subscription_id])
    return after


async def pause(tx: Tx, before: WebhookSubscription, reason: str) -> WebhookSubscription:
    """Hold a locked subscription's messages until it is resumed."""
    return await _turn(tx, before, "PAUSED", reason)


async def resume(tx: Tx, before: WebhookSubscription) -> WebhookSubscription:
    """Send a locked subscription's messages again, as if its endpoint had never failed."""
    await tx.execute(
        """
        UPDATE webhook_queues SET not_before = NULL, failures = 0, first_failed_at = NULL, slowed = 0
        WHERE subscription_id = %s
        """,
        (before.subscription_id,),
    )
    return await _turn(tx, before, "ACTIVE", "")


async def delete(tx: Tx, subscription: WebhookSubscription) -> None:
    """Delete a locked subscription: it matches nothing from now on; ``retention`` ends its messages."""
    subscription_id = subscription.subscription_id
    await _unsubscribe(tx, subscription_id)
    await SECRETS.delete(tx, subscription_id)
    await tx.execute(
        "UPDATE webhook_queues SET held = true, due_at = NULL WHERE subscription_id = %s", (subscription_id,)
    )
    await tx.execute(
        "UPDATE webhook_subscriptions SET deleted_at = %s, version = version + 1 WHERE subscription_id = %s",
        (tx.now, subscription_id),
    )


def unknown(subscription_id: str) -> NotFound:
    """Return the problem for an id that names no subscription of the caller."""
    return NotFound("unknown-subscription", f"You have no webhook subscription {subscription_id[:64]}.")


def subscription_of(row: tuple[Any, ...]) -> WebhookSubscription:
    """Return the subscription of a row of COLUMNS."""
    names = (*WebhookSubscription.__slots__,)
    members = dict(zip(names, row, strict=True))
    members |= {"event_types": tuple(members["event_types"]), "schedule_s": tuple(members["schedule_s"])}
    return WebhookSubscription(**members)


async def _turn(tx: Tx, before: WebhookSubscription, status: Status, reason: str) -> WebhookSubscription:
    wanted = replace(before, status=status, status_reason=reason, status_since=tx.now)
    after = await _store(tx, wanted)
    await tx.execute(
        "UPDATE webhook_queues SET held = %s WHERE subscription_id = %s", (status in HELD, after.subscription_id)
    )
    await queue.recompute(tx, [after.subscription_id])
    return after


async def _store(tx: Tx, wanted: WebhookSubscription) -> WebhookSubscription:
    after = replace(wanted, version=wanted.version + 1, updated_at=tx.now)
    await tx.execute(
        UPDATE,
        (
            *(after.url, list(after.event_types), after.content_mode, after.signature, after.ordered),
            *(after.concurrency, after.rate_per_s, list(after.schedule_s), after.consent, after.status),
            *(after.status_reason, after.status_since, after.version, after.updated_at, after.subscription_id),
        ),
    )
    return after


async def _subscribe(tx: Tx, subscription: WebhookSubscription) -> None:
    await tx.execute(
        "INSERT INTO webhook_subscription_types (pattern, subscription_id) SELECT unnest(%s::text[]), %s",
        (list(subscription.event_types), subscription.subscription_id),
    )


async def _unsubscribe(tx: Tx, subscription_id: str) -> None:
    await tx.execute("DELETE FROM webhook_subscription_types WHERE subscription_id = %s", (subscription_id,))
