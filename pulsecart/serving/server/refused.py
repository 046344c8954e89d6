"""Builds replies to requests rejected before any handler: problem+json, or a retry instruction for an EventSource."""

from collections.abc import Iterable, Mapping

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from pulsecart.runtime.problem import Problem
from pulsecart.serving.headers import FIELDS_MAX
from pulsecart.serving.replies import for_event_source, reply_of
from pulsecart.serving.server.bounds import HEAD_MAX_BYTES, TARGET_MAX_BYTES

TARGET = f"A URL may have at most {TARGET_MAX_BYTES} bytes. Send a shorter query."
HEAD = f"A request's head has {HEAD_MAX_BYTES} bytes and {FIELDS_MAX} fields at most. Send fewer or shorter ones."
HOST_MISSING = "An HTTP/1.1 request needs a Host header."
Fields = Iterable[tuple[bytes, bytes]]


class TooSlow(Problem):
    status = 408
    title = "Request timeout"


class TargetTooLong(Problem):
    status = 414
    title = "URL too long"


class HeadTooLarge(Problem):
    status = 431
    title = "Header too large"


class FramingUnknown(Problem):
    status = 501
    title = "Not implemented"


class VersionUnknown(Problem):
    status = 505
    title = "HTTP version not supported"


def answer_of(problem: Problem, request_headers: Mapping[bytes, bytes], headers: Fields) -> bytes:
    """
    Encode the whole response, after which the connection is closed.

    Args:
        asked: the request's header fields received so far.
        headers: header fields of every reply.
    """
    reply = for_event_source(reply_of(problem), {"accept": request_headers.get(b"accept", b"").decode("latin-1")})
    fields = [*headers, *((name.encode(), value.encode()) for name, value in reply.headers)]
    fields += [(b"content-type", reply.media_type.encode()), (b"content-length", b"%d" % len(reply.body))]
    lines = b"".join(b"%b: %b\r\n" % line for line in (*fields, (b"connection", b"close")))
    return STATUS_LINE[reply.status] + lines + b"\r\n" + reply.body
