"""Defines errors as data: a small tree that one place turns into replies (RFC 9457, design's status code table)."""

from collections.abc import Mapping
from typing import Any

PROBLEM_ROOT = "https://pulsecart.dev/problems"


class Problem(Exception):
    """
    Is raised to end a request or an event with an error reply.

    Args:
        type: last part of the problem's URI, kebab-case, e.g. ``sold-out``.
        detail: one sentence that describes the error, one that states what to do.
        extra: additional members of the problem document.
    """

    status = 500
    title = "Internal error"

    def __init__(self, type: str, detail: str, **extra: Any) -> None:
        super().__init__(f"{type}: {detail}")
        self.type = type
        self.detail = detail
        self.extra = extra

    def document(self) -> Mapping[str, Any]:
        """Return the members of the ``application/problem+json`` document."""
        return {
            "type": f"{PROBLEM_ROOT}/{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class Malformed(Problem):
    """The request or event breaks its contract; a retry fails again (the event becomes a dead letter at once)."""

    status = 400
    title = "Malformed request"


class Unstorable(Malformed):
    """A value cannot be stored or compared: it has unsupported characters, or is too long or too large."""


class Unauthorized(Problem):
    status = 401
    title = "Not signed in"


class Forbidden(Problem):
    status = 403
    title = "Not allowed"


class NotFound(Problem):
    status = 404
    title = "Not found"


class Refused(Problem):
    """A business rule rejects the request."""

    status = 409
    title = "Rejected"


class Gone(Problem):
    """The resource existed and is permanently gone."""

    status = 410
    title = "Gone"


class Changed(Problem):
    """If-Match names a version that is not the current one."""

    status = 412
    title = "Changed since it was read"


class Unconditional(Problem):
    """The required If-Match header is missing."""

    status = 428
    title = "Precondition required"


class Unprocessable(Problem):
    status = 422
    title = "Cannot be processed"


class Unavailable(Problem):
    """The process or a dependency is busy or down; retry later. ``retry_after_s`` is sent as Retry-After."""

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, type: str, detail: str, retry_after_s: int = 1, **extra: Any) -> None:
        super().__init__(type, detail, **extra)
        self.retry_after_s = retry_after_s


class Exhausted(Unavailable):
    """A resource limit was reached, possibly by this request alone: a smaller batch may succeed."""


class TooMany(Problem):
    """A caller exceeded its request rate. ``retry_after_s`` is sent as Retry-After."""

    status = 429
    title = "Too many requests"

    def __init__(self, type: str, detail: str, retry_after_s: int, **extra: Any) -> None:
        super().__init__(type, detail, **extra)
        self.retry_after_s = retry_after_s
