"""
Reads and writes the state of sending to each subscription.

A row of webhook_queues is the lock of its subscription's messages: every transaction that adds, claims or ends messages
calls ``lock`` first, and ``recompute`` last.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.shop.webhooks import subscription
from pulsecart.shop.webhooks.circuit import Circuit
from pulsecart.shop.webhooks.consent import Consent
from pulsecart.shop.webhooks.subscription import ContentMode

LOCK = "SELECT 1 FROM webhook_queues WHERE subscription_id = ANY(%s::uuid[]) ORDER BY subscription_id FOR UPDATE"
# The longest waiting first; each is served once before another gets more, since recompute never sets an earlier time
# than now.
LOCK_DUE = """
    WITH well AS (
        SELECT subscription_id, due_at FROM webhook_queues WHERE NOT held AND NOT unwell AND due_at <= %(now)s
        ORDER BY due_at LIMIT %(well)s FOR UPDATE SKIP LOCKED
    ), unwell AS (
        SELECT subscription_id, due_at FROM webhook_queues WHERE NOT held AND unwell AND due_at <= %(now)s
        ORDER BY due_at LIMIT %(unwell)s FOR UPDATE SKIP LOCKED
    )
    SELECT subscription_id::text FROM (SELECT * FROM well UNION ALL SELECT * FROM unwell) AS due ORDER BY due_at
"""
FIRST_DUE = """
    SELECT min(due_at) FROM (
        (SELECT due_at FROM webhook_queues WHERE NOT held AND NOT unwell AND due_at IS NOT NULL ORDER BY due_at LIMIT 1)
        UNION ALL
        (SELECT due_at FROM webhook_queues WHERE NOT held AND unwell AND due_at IS NOT NULL AND %s
         ORDER BY due_at LIMIT 1)
    ) AS first
"""
STATES = """
    SELECT q.subscription_id::text, s.partner_id, q.held, s.url, s.content_mode, s.signature, s.concurrency,
           s.rate_per_s, s.schedule_s, s.consent, s.status, s.status_since, s.status_reason, q.failures,
           q.first_failed_at, q.slowed,
           q.not_before, q.next_free_at, q.consent_at, q.consented, q.allowed_per_min,
           (SELECT count(*) FROM webhook_messages m
            WHERE m.subscription_id = q.subscription_id AND m.claimed_until > %s)
    FROM webhook_queues q JOIN webhook_subscriptions s USING (subscription_id)
    WHERE q.subscription_id = ANY(%s::uuid[])
"""
WRITE_CIRCUITS = """
    UPDATE webhook_queues q SET failures = t.failures, first_failed_at = t.first_failed_at, slowed = t.slowed,
        not_before = t.not_before, held = q.held OR t.held
    FROM json_to_recordset(%s::json) AS t (subscription_id uuid, failures int, first_failed_at timestamptz, slowed int,
                                           not_before timestamptz, held boolean)
    WHERE q.subscription_id = t.subscription_id
"""
WRITE_PACE = """
    UPDATE webhook_queues q SET next_free_at = t.next_free_at, not_before = t.not_before
    FROM json_to_recordset(%s::json) AS t (subscription_id uuid, next_free_at timestamptz, not_before timestamptz)
    WHERE q.subscription_id = t.subscription_id
"""
WRITE_CONSENT = """
    UPDATE webhook_queues q SET consent_at = %s, consented = %s, allowed_per_min = %s, not_before = %s
    FROM webhook_subscriptions s
    WHERE q.subscription_id = %s AND s.subscription_id = q.subscription_id AND s.url = %s
"""
# While attempts take all the room, the next claim can follow when the first of their claims has ended: usually earlier,
# by the transaction that records it. A FAILING subscription's next probe takes any message, not only a due one.
RECOMPUTE = """
    UPDATE webhook_queues q SET due_at = d.due_at
    FROM (
        SELECT q.subscription_id, CASE WHEN f.in_flight >= CASE WHEN s.status = 'FAILING' OR q.slowed > 0 THEN 1
                                                                ELSE s.concurrency END THEN f.first_end
            WHEN w.due_at IS NOT NULL
            THEN greatest(CASE WHEN s.status = 'FAILING' THEN %(now)s ELSE w.due_at END,
                          q.not_before, q.next_free_at, %(now)s) END AS due_at
        FROM webhook_queues q JOIN webhook_subscriptions s USING (subscription_id)
        CROSS JOIN LATERAL (SELECT count(*) AS in_flight, min(m.claimed_until) AS first_end FROM webhook_messages m
            WHERE m.subscription_id = q.subscription_id AND m.claimed_until > %(now)s) f
        LEFT JOIN LATERAL (SELECT m.due_at FROM webhook_messages m
            WHERE m.subscription_id = q.subscription_id AND m.status = 'PENDING' AND m.due_at IS NOT NULL
            ORDER BY m.due_at LIMIT 1) w ON true
        WHERE q.subscription_id = ANY(%(ids)s::uuid[])
    ) d
    WHERE q.subscription_id = d.subscription_id AND q.due_at IS DISTINCT FROM d.due_at
        AND (q.due_at IS NULL OR d.due_at IS NULL OR q.due_at > %(now)s OR NOT %(added)s)
    RETURNING q.subscription_id::text, CASE WHEN NOT q.held THEN q.due_at END
"""
BECOMES = """
    UPDATE webhook_subscriptions SET status = %s, status_since = %s, status_reason = %s, version = version + 1,
        updated_at = %s
    WHERE subscription_id = %s AND status = %s RETURNING version
"""
NEXT_VERSIONS = """
    UPDATE webhook_subscriptions s SET version = s.version + t.events
    FROM json_to_recordset(%s::json) AS t (subscription_id uuid, events int)
    WHERE s.subscription_id = t.subscription_id RETURNING s.subscription_id::text, s.version
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Holds how a subscription's messages are sent, and the state of sending them; ``in_flight``: open claims."""

    subscription_id: str
    partner_id: str
    held: bool
    url: str
    content_mode: ContentMode
    signature: str
    concurrency: int
    rate_per_s: float | None
    schedule_s: tuple[int, ...]
    required: subscription.Consent
    circuit: Circuit
    next_free_at: datetime | None
    consent: Consent
    in_flight: int


async def lock(tx: Tx, subscription_ids: Collection[str]) -> None:
    """Lock the queues of these subscriptions, in the order that every transaction keeps."""
    await tx.execute(LOCK, (list(subscription_ids),))


async def lock_due(tx: Tx, well: int, unwell: int) -> list[str]:
    """
    Lock due queues that no other transaction has locked, and return their subscriptions, the longest waiting first.

    Args:
        well: maximum number of those whose endpoint's last attempt succeeded; ``unwell``: of the others.
    """
    return [row[0] for row in await tx.rows(LOCK_DUE, {"now": tx.now, "well": well, "unwell": unwell})]


async def first_due(tx: Tx, *, unwell: bool) -> datetime | None:
    """Return when the next message of any subscription can be claimed; of a well one alone unless ``unwell``."""
    row = await tx.row(FIRST_DUE, (unwell,))
    return row[0] if row else None


async def states(tx: Tx, subscription_ids: Sequence[str]) -> dict[str, Queue]:
    """Return the queues by subscription; the caller has locked them."""
    return {row[0]: _queue(*row) for row in await tx.rows(STATES, (tx.now, list(subscription_ids)))}


async def recompute(tx: Tx, subscription_ids: Collection[str], *, added: bool = False) -> dict[str, datetime | None]:
    """
    Set when the next message of each subscription can be claimed; the caller has locked the queues.

    Args:
        added: messages were only added; a queue that is due already stays unchanged.

    Returns:
        The times that changed, None for a queue with nothing to claim.
    """
    return dict(await tx.rows(RECOMPUTE, {"now": tx.now, "ids": list(subscription_ids), "added": added}))


async def write_circuits(tx: Tx, circuits: dict[str, Circuit]) -> None:
    """Write the circuits of subscriptions; one that is DISABLED is held."""
    rows = [
        {
            "subscription_id": subscription_id,
            "failures": one.failures,
            "first_failed_at": one.first_failed_at,
            "slowed": one.slowed,
            "not_before": one.not_before,
            "held": one.status == "DISABLED",
        }
        for subscription_id, one in circuits.items()
    ]
    await tx.execute(WRITE_CIRCUITS, (as_json(rows),))


async def write_pace(tx: Tx, paces: dict[str, tuple[datetime | None, datetime | None]]) -> None:
    """Write ``next_free_at`` and ``not_before`` of subscriptions."""
    rows = [
        {"subscription_id": id, "next_free_at": next_free_at, "not_before": not_before}
        for id, (next_free_at, not_before) in paces.items()
    ]
    await tx.execute(WRITE_PACE, (as_json(rows),))


async def write_consent(tx: Tx, subscription_id: str, url: str, consent: Consent, not_before: datetime | None) -> None:
    """Write the result of a handshake, unless the subscription has another URL by now."""
    given = (consent.asked_at, consent.given, consent.allowed_per_min)
    await tx.execute(WRITE_CONSENT, (*given, not_before, subscription_id, url))


async def becomes(tx: Tx, subscription_id: str, before: Circuit, after: Circuit) -> int | None:
    """Write a subscription's new status and return its version; None if its status was changed meanwhile."""
    values = (after.status, after.status_since, after.status_reason, tx.now, subscription_id, before.status)
    row = await tx.row(BECOMES, values)
    return row[0] if row else None


async def next_versions(tx: Tx, events: dict[str, int]) -> dict[str, int]:
    """Count so many events of each subscription in its version, and return the versions after them."""
    rows = [{"subscription_id": id, "events": count} for id, count in events.items()]
    return dict(await tx.rows(NEXT_VERSIONS, (as_json(rows),)))


def _queue(
    subscription_id: str,
    partner_id: str,
    held: bool,
    url: str,
    content_mode: ContentMode,
    signature: str,
    concurrency: int,
    rate_per_s: float | None,
    schedule_s: list[int],
    required: subscription.Consent,
    status: subscription.Status,
    status_since: datetime,
    status_reason: str,
    failures: int,
    first_failed_at: datetime | None,
    slowed: int,
    not_before: datetime | None,
    next_free_at: datetime | None,
    consent_at: datetime | None,
    consented: bool | None,
    allowed_per_min: int | None,
    in_flight: int,
) -> Queue:
    return Queue(
        subscription_id=subscription_id,
        partner_id=partner_id,
        held=held,
        url=url,
        content_mode=content_mode,
        signature=signature,
        concurrency=concurrency,
        rate_per_s=rate_per_s,
        schedule_s=tuple(schedule_s),
        required=required,
        circuit=Circuit(
            status=status,
            status_since=status_since,
            status_reason=status_reason,
            failures=failures,
            first_failed_at=first_failed_at,
            slowed=slowed,
            not_before=not_before,
        ),
        next_free_at=next_free_at,
        consent=Consent(consent_at, consented, allowed_per_min),
        in_flight=in_flight,
    )
