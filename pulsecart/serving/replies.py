"""Turns errors into replies: problem+json for HTTP clients, and a status that Knative understands for its broker."""

import logging
import random
from collections.abc import Mapping, Sequence

import msgspec

from pulsecart.runtime.problem import NotFound, Problem, TooMany, Unauthorized, Unavailable
from pulsecart.runtime.redis_error import RedisAway
from pulsecart.serving.http import PROBLEM, Reply

log = logging.getLogger(__name__)
EVENTS = "text/event-stream"
EVENT_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
AGAIN_MS = (5_000, 10_000)
FAILURE_MAX = 768  # bytes of the reply to a failed delivery


class WrongMethod(Problem):
    status = 405
    title = "Method not allowed"


def reply_of(error: Exception) -> Reply:
    """Turn any error into problem+json; an unexpected one is logged, and its reply discloses no internals."""
    if isinstance(error, TimeoutError):
        error = Unavailable(
            "too-slow",
            "The request exceeded its time limit and may still take effect. "
            "Read the current state, or repeat it with the same Idempotency-Key.",
        )
    if isinstance(error, RedisAway):
        error = Unavailable("redis-unavailable", "The stock gate cannot be reached. Try again shortly.")
    if not isinstance(error, Problem):
        log.error("unexpected error", exc_info=error)
        error = Problem("internal-error", "An unexpected error happened. The request can be repeated.")
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Unavailable | TooMany):
        headers = (("retry-after", str(error.retry_after_s)),)
    elif isinstance(error, Unauthorized):
        headers = (("www-authenticate", _challenge(error)),)
    return Reply(error.status, msgspec.json.encode(error.document()), PROBLEM, headers)


def no_route(method: str, path: str, methods: Sequence[str]) -> Reply:
    """Return 404, or 405 with the methods that the path supports."""
    if not methods:
        return reply_of(NotFound("no-such-route", f"There is no route {method} {path[:200]}."))
    answered = ", ".join(sorted({*methods, "HEAD"}) if "GET" in methods else methods)
    reply = reply_of(WrongMethod("wrong-method", f"{path[:200]} allows only {answered}."))
    reply.headers = (*reply.headers, ("allow", answered))
    return reply


def for_event_source(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """Make an EventSource retry after a 429 or 503: browsers never reconnect after a status other than 200."""
    if reply.status in (429, 503) and EVENTS in headers.get("accept", ""):
        return again_later()
    return reply


def again_later() -> Reply:
    """Create the reply that makes an EventSource reconnect later."""
    wait_ms = random.randint(*AGAIN_MS)  # noqa: S311  # spreads reconnects over time
    return Reply(200, b"retry: %d\n\n" % wait_ms, EVENTS, EVENT_HEADERS)


def failed_delivery(error: Exception, retry_refused: bool) -> Reply:
    """
    Turn a failed delivery into a reply to Knative.

    Args:
        retry_refused: answer 503 even if the event itself is invalid, because a JetStream channel would drop it.
    """
    reply = reply_of(error)
    if retry_refused and 400 <= reply.status < 500:
        reply.status = 503
    elif reply.status in (404, 408, 409, 429):  # Knative would retry these
        reply.status = 422
    return _bounded(reply)


def _challenge(error: Unauthorized) -> str:
    """Return the WWW-Authenticate challenge; only a request with a token gets an error code (RFC 6750)."""
    return 'Bearer error="invalid_token"' if error.type == "bad-token" else "Bearer"


def _bounded(reply: Reply) -> Reply:
    """Shorten a failed delivery's reply: Knative's dispatcher crashes at a longer one (docs/conformance.md)."""
    document = msgspec.json.decode(reply.body)
    short = {name: document[name] for name in ("type", "title", "status", "detail")}
    while len(reply.body) > FAILURE_MAX:
        reply.body = msgspec.json.encode(short)
        short["detail"] = short["detail"][: len(short["detail"]) // 2]
    return reply
