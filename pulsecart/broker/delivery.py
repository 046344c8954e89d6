"""Defines the default broker's delivery rules as values: retries, timeouts, and the meaning of a response."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed
from pulsecart.serving import cloudevents

TIMEOUT_S = 30.0
GARBAGE = 502
NO_ANSWER = 500
_RETRIED_4XX = frozenset((404, 408, 409, 429))

Verdict = Literal["done", "again", "never"]


@dataclass(frozen=True, slots=True)
class Destination:
    """
    The target of a message: the operation ``service`` in this process or, if that is None, the server at ``url``.

    A request to ``url`` carries the token that ``token_file`` holds at that moment.
    """

    service: str | None
    url: str
    token_file: str = ""

    def token(self) -> str:
        """Read the token from ``token_file``, which Kubernetes replaces before it expires; empty without a file."""
        return Path(self.token_file).read_text().strip() if self.token_file else ""

    @property
    def path(self) -> str:
        """Return the URL's path, such as ``/reserve``; ``/`` if it has none."""
        return "/" + self.url.partition("://")[2].partition("/")[2]

    @property
    def last_part(self) -> str:
        """Return the last segment of the path: the Trigger's name, for a subscriber or a dead letter sink."""
        return self.path.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Retry rules: up to ``retry`` attempts follow the first, each cancelled after ``timeout_s``."""

    dead_letter_sink: Destination
    retry: int = 10
    exponential: bool = True
    backoff_delay_s: float = 0.2
    timeout_s: float = TIMEOUT_S

    @property
    def longest_s(self) -> float:
        """Return the longest time in seconds from the first attempt to the end of the last."""
        waits = sum(self.backoff_s(attempts) for attempts in range(1, self.retry + 1))
        return waits + (self.retry + 1) * self.timeout_s

    def backoff_s(self, attempts: int) -> float:
        """
        Return the seconds to wait after ``attempts`` failed attempts (1 or more).

        Knative counts from 0: delay × 2^0, 2^1, … or delay × 0, 1, …; its first linear retry follows immediately.
        """
        doublings = min(attempts - 1, 32)
        return self.backoff_delay_s * (2**doublings if self.exponential else attempts - 1)


class Answer(NamedTuple):
    """
    A subscriber's HTTP response.

    Args:
        headers: names in lower case, including ``content-type``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outcome(NamedTuple):
    """The result of an attempt: ``event`` is a reply to route; ``code`` and ``data`` describe the failure."""

    verdict: Verdict
    event: CloudEvent | None = None
    code: int = 0
    data: bytes = b""


DONE = Outcome("done")


def judge(answer: Answer) -> Outcome:
    """
    Decide from the response whether the delivery is done, is retried ("again") or failed for good ("never").

    5xx, 404, 408, 409 and 429 are retried; other failures are final. A 2xx with a body that is not a CloudEvent counts
    as 502. A CloudEvent is routed, with any 2xx status; an incomplete CloudEvent gets 400, as in the ingress.
    """
    status = answer.status
    if not 200 <= status < 300:
        again = status >= 500 or status in _RETRIED_4XX
        return Outcome("again" if again else "never", code=status, data=answer.body)
    if cloudevents.carries_event(answer.headers):
        try:
            event = cloudevents.decode(answer.headers, answer.body)
        except Malformed as error:
            if error.type in cloudevents.UNREADABLE:
                return Outcome("again", code=GARBAGE, data=error.detail.encode())
            return Outcome("never", code=error.status, data=error.detail.encode())
        return Outcome("done", event)
    if answer.body:
        return Outcome("again", code=GARBAGE, data=answer.body)
    return DONE
