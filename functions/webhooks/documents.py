"""Writes subscriptions, messages and attempts as JSON documents."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.printable import decoded
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.db.attempt_log import LoggedAttempt
from pulsecart.shop.webhooks.db.backlog import OwnBacklog
from pulsecart.shop.webhooks.db.history import StoredAttempt, StoredMessage
from pulsecart.shop.webhooks.subscription import WebhookSubscription

EXAMPLES = "/pulsecart/webhooks/examples"  # the source of example events


def subscription_document(subscription: WebhookSubscription) -> dict[str, Any]:
    """Return a subscription without its secrets."""
    document: dict[str, Any] = {
        "subscriptionId": subscription.subscription_id,
        "partnerId": subscription.partner_id,
        "url": subscription.url,
        "eventTypes": subscription.event_types,
        "contentMode": subscription.content_mode,
        "signature": subscription.signature,
        "ordered": subscription.ordered,
        "concurrency": subscription.concurrency,
        "scheduleS": subscription.schedule_s,
        "consent": subscription.consent,
        "status": subscription.status,
        "statusSince": rfc3339(subscription.status_since),
        "version": subscription.version,
        "createdAt": rfc3339(subscription.created_at),
        "updatedAt": rfc3339(subscription.updated_at),
    }
    optional = {"ratePerS": subscription.rate_per_s, "statusReason": subscription.status_reason or None}
    return document | _present(optional)


def message_document(message: StoredMessage, now: datetime) -> dict[str, Any]:
    """Return a message without its event's body."""
    document: dict[str, Any] = {
        "messageId": message.message_id,
        "subscriptionId": message.subscription_id,
        "status": message.status,
        "eventType": message.type,
        "eventSource": message.source,
        "eventId": message.event_id,
        "attempts": message.attempts,
        "inFlight": message.in_flight(now),
        "example": message.source == EXAMPLES,
        "createdAt": rfc3339(message.created_at),
    }
    optional = {
        "subject": message.subject,
        "lane": message.lane,
        "nextTryAt": _moment(message.due_at) if message.status == "PENDING" else None,
        "endedAt": _moment(message.ended_at),
    }
    return document | _present(optional)


def attempt_documents(attempts: list[StoredAttempt], event: bytes) -> Iterator[dict[str, Any]]:
    """
    Yield attempts with request and response.

    Args:
        event: as structured JSON; in binary mode, its data was the request's body.
    """
    bodies = {"structured": decoded(event)}
    for attempt in attempts:
        if attempt.content_mode not in bodies:
            bodies[attempt.content_mode] = decoded(_data_of(event))
        yield _attempt_document(attempt, bodies[attempt.content_mode])


def _attempt_document(attempt: StoredAttempt, body: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "number": attempt.number,
        "probe": attempt.probe,
        "beganAt": rfc3339(attempt.began_at),
        "request": {"url": attempt.url, "headers": _headers(attempt.request_headers), "body": body},
    }
    if attempt.ended_at is not None:
        took_ms = _duration_ms(attempt.began_at, attempt.ended_at)
        document |= {"endedAt": rfc3339(attempt.ended_at), "durationMs": took_ms}
    if attempt.status is not None:
        document["response"] = {
            "status": attempt.status,
            "headers": _headers(attempt.response_headers),
            "body": decoded(attempt.response_body or b""),
        }
    optional = {"result": attempt.result, "error": attempt.error, "nextTryAt": _moment(attempt.next_try_at)}
    return document | _present(optional)


def logged_document(attempt: LoggedAttempt) -> dict[str, Any]:
    """Return an attempt as one line of a subscription's log."""
    document: dict[str, Any] = {
        "messageId": attempt.message_id,
        "eventType": attempt.type,
        "number": attempt.number,
        "probe": attempt.probe,
        "beganAt": rfc3339(attempt.began_at),
    }
    optional = {
        "subject": attempt.subject,
        "endedAt": _moment(attempt.ended_at),
        "durationMs": None if attempt.ended_at is None else _duration_ms(attempt.began_at, attempt.ended_at),
        "responseStatus": attempt.status,
        "result": attempt.result,
        "error": attempt.error,
        "nextTryAt": _moment(attempt.next_try_at),
    }
    return document | _present(optional)


def backlog_document(backlog: OwnBacklog) -> dict[str, Any]:
    """Return the backlog of a subscription."""
    document = {"messages": backlog.messages, "failed": backlog.failed, "failedAttempts": backlog.failures}
    return document | _present({"oldestAt": _moment(backlog.oldest_at), "nextTryAt": _moment(backlog.next_try_at)})


def _duration_ms(began_at: datetime, ended_at: datetime) -> float:
    return max(0.0, round((ended_at - began_at).total_seconds() * 1000, 3))


def _data_of(event: bytes) -> bytes:
    headers = {"content-type": cloudevents.STRUCTURED}
    return cloudevents.decode(headers, event).data or b""


def _headers(stored: Any) -> list[list[str]]:
    """Return stored headers, an array of pairs or an object, as pairs."""
    pairs = stored.items() if isinstance(stored, dict) else stored or ()
    return [[str(name), str(value)] for name, value in pairs]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def encoded(document: Any) -> bytes:
    """Encode a document as JSON."""
    return msgspec.json.encode(document)
