"""Errors as data: one small tree, turned into a reply in one place (RFC 9457, design's table of status codes)."""

from collections.abc import Mapping
from typing import Any

PROBLEM_ROOT = "https://pulsecart.dev/problems"


class Problem(Exception):
    """
    An answer that is not a success.

    Args:
        type: last part of the problem's URI, kebab-case, e.g. ``sold-out``.
        detail: what happened and what to do about it, one sentence each.
        extra: further members of the problem document.
    """

    status = 500
    title = "Internal error"

    def __init__(self, type: str, detail: str, **extra: Any) -> None:
        super().__init__(f"{type}: {detail}")
        self.type = type
        self.detail = detail
        self.extra = extra

    def document(self) -> Mapping[str, Any]:
        """The members of ``application/problem+json``."""
        return {
            "type": f"{PROBLEM_ROOT}/{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class Malformed(Problem):
    """The request or event breaks its contract; the same again fails again (dead letter at once)."""

    status = 400
    title = "Malformed request"


class Unstorable(Malformed):
    """A value that no column keeps or compares: of the wrong characters, too long or too large."""


class Unauthorized(Problem):
    status = 401
    title = "Not signed in"


class Forbidden(Problem):
    status = 403
    title = "Not yours"


class NotFound(Problem):
    status = 404
    title = "Not found"


class Refused(Problem):
    """Business says no."""

    status = 409
    title = "Refused"


class Gone(Problem):
    """It was here, and never will be again."""

    status = 410
    title = "Gone"


class Changed(Problem):
    """If-Match names another version than there is."""

    status = 412
    title = "Changed meanwhile"


class Unconditional(Problem):
    """If-Match is missing."""

    status = 428
    title = "Condition required"


class Unprocessable(Problem):
    status = 422
    title = "Not acceptable as it is"


class Unavailable(Problem):
    """Not now: busy, or something we depend on is down. ``retry_after_s`` goes into Retry-After."""

    status = 503
    title = "Not now"

    def __init__(self, type: str, detail: str, retry_after_s: int = 1, **extra: Any) -> None:
        super().__init__(type, detail, **extra)
        self.retry_after_s = retry_after_s


class Exhausted(Unavailable):
    """Not now, but less at once may pass: what it needed may have been one caller's alone."""


class TooMany(Problem):
    """One caller asked too often. ``retry_after_s`` goes into Retry-After."""

    status = 429
    title = "Too many requests"

    def __init__(self, type: str, detail: str, retry_after_s: int, **extra: Any) -> None:
        super().__init__(type, detail, **extra)
        self.retry_after_s = retry_after_s
