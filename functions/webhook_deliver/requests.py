"""Builds the request of an attempt, and reads its answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pulsecart.bridges.outgoing_http.results import Answer, Failure, NotAllowed
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.attempt import ANSWERED, DELIVERED, Attempt, Result
from pulsecart.shop.webhooks.circuit import RETRY_AFTER_STATUSES
from pulsecart.shop.webhooks.signature import Secret, signature_headers

RETRY_AFTER_MAX_S = 3600.0  # an endpoint cannot postpone its messages for days by one answer
USER_AGENT = "PulseCart-Webhooks/1"
_SECONDS = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Request:
    """The bytes of an attempt."""

    attempt: Attempt
    headers: tuple[tuple[str, str], ...]
    body: bytes


def request_of(attempt: Attempt, secrets: Sequence[Secret]) -> Request:
    """Return the signed request of an attempt."""
    headers, body = {"content-type": cloudevents.STRUCTURED}, attempt.body
    if attempt.content_mode == "binary":
        headers, body = cloudevents.binary(cloudevents.decode(headers, attempt.body))
    return Request(attempt, signed_headers(headers, body, attempt.message_id, attempt.began_at, secrets), body)


def signed_headers(
    headers: Mapping[str, str], body: bytes, message_id: str, at: datetime, secrets: Sequence[Secret]
) -> tuple[tuple[str, str], ...]:
    """
    Return all headers of a message.

    Args:
        headers: the event's own, at least its content-type.
    """
    return (("user-agent", USER_AGENT), *headers.items(), *signature_headers(secrets, message_id, at, body))


def result_of(attempt: Attempt, outcome: Answer | Exception, now: datetime) -> Result:
    """Return the result of an attempt from the client's answer or error."""
    match outcome:
        case Answer():
            return _answered(attempt, outcome, now)
        case NotAllowed():
            given: dict[str, Any] = {"result": "not-allowed", "error": f"{outcome.reason}: {outcome}"}
        case Failure():
            given = {"result": outcome.reason, "error": outcome.detail}
        case _:
            given = {"result": "error", "error": type(outcome).__name__}
    return Result(attempt=attempt, ended_at=now, **given)


def retry_after_s(answer: Answer, now: datetime) -> float | None:
    """Return the seconds that a 429 or 503 asks for by Retry-After, at most RETRY_AFTER_MAX_S."""
    value = next((value for name, value in answer.headers if name.lower() == "retry-after"), "").strip()
    if answer.status not in RETRY_AFTER_STATUSES or not value:
        return None
    if _SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_S)
    try:
        wait_s = (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date; a date without a zone
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


def _answered(attempt: Attempt, answer: Answer, now: datetime) -> Result:
    delivered = 200 <= answer.status < 300
    return Result(
        attempt=attempt,
        result=DELIVERED if delivered else ANSWERED,
        ended_at=now,
        status=answer.status,
        headers={name.lower(): value for name, value in answer.headers},
        body=answer.body,
        error=None if delivered else f"it answered {answer.status}",
        retry_after_s=retry_after_s(answer, now),
    )
