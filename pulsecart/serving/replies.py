"""Errors as answers: problem+json to who asks over HTTP, and a status that Knative understands to its broker."""

import logging
import random
from collections.abc import Mapping

import msgspec

from pulsecart.runtime.away import is_redis_away
from pulsecart.runtime.problem import Problem, TooMany, Unauthorized, Unavailable
from pulsecart.serving.http import PROBLEM, Reply

log = logging.getLogger(__name__)
EVENTS = "text/event-stream"
EVENT_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
AGAIN_MS = (5_000, 10_000)
FAILURE_MAX = 768  # bytes of a failed delivery's answer


def reply_of(error: Exception) -> Reply:
    """Any error as problem+json; what nobody expected is logged and says nothing of our inside."""
    if isinstance(error, TimeoutError):
        error = Unavailable("too-slow", "This took longer than it may; what was begun may still happen, ask again.")
    if is_redis_away(error):
        error = Unavailable("redis-unavailable", "The stock gate cannot be reached; try again shortly.")
    if not isinstance(error, Problem):
        log.error("unexpected error", exc_info=error)
        error = Problem("internal-error", "Something went wrong here; the request can be repeated.")
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Unavailable | TooMany):
        headers = (("retry-after", str(error.retry_after_s)),)
    elif isinstance(error, Unauthorized):
        headers = (("www-authenticate", _challenge(error)),)
    return Reply(error.status, msgspec.json.encode(error.document()), PROBLEM, headers)


def for_event_source(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """The same, but for an EventSource that is to come again: at any status but 200 a browser gives up for good."""
    if reply.status in (429, 503) and EVENTS in headers.get("accept", ""):
        return again_later()
    return reply


def again_later() -> Reply:
    """What an EventSource is answered where it cannot be served now."""
    wait_ms = random.randint(*AGAIN_MS)  # noqa: S311  # a herd must not come back together
    return Reply(200, b"retry: %d\n\n" % wait_ms, EVENTS, EVENT_HEADERS)


def failed_delivery(error: Exception, retry_refused: bool) -> Reply:
    """
    Args:
        retry_refused: answer 503 where the event itself is at fault, too: the channel would drop it (JetStream's).
    """
    reply = reply_of(error)
    if retry_refused and 400 <= reply.status < 500:
        reply.status = 503
    elif reply.status in (404, 408, 409, 429):  # Knative would deliver those again
        reply.status = 422
    return _bounded(reply)


def _challenge(error: Unauthorized) -> str:
    """RFC 6750: what was wrong with the token is said only to whoever sent one."""
    return 'Bearer error="invalid_token"' if error.type == "bad-token" else "Bearer"


def _bounded(reply: Reply) -> Reply:
    """A failure small enough for Knative, whose dispatcher ends at a longer one (docs/conformance.md)."""
    document = msgspec.json.decode(reply.body)
    short = {name: document[name] for name in ("type", "title", "status", "detail")}
    while len(reply.body) > FAILURE_MAX:
        reply.body = msgspec.json.encode(short)
        short["detail"] = short["detail"][: len(short["detail"]) // 2]
    return reply
