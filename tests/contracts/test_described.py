"""The comparison of replies with the description detects each kind of difference."""

import pytest

from pulsecart.runtime.problem import NotFound, Refused
from pulsecart.serving.http import PROBLEM, Reply
from pulsecart.serving.replies import reply_of
from tests.contracts.described import check_described

CORRELATED = (("correlation-id", "c-1"),)
LATER = (("retry-after", "1"), *CORRELATED)
PATH = "/api/v1/async/queue/status"


def test_a_described_reply_passes() -> None:
    check_described("GET", "/api/v1/orders/{id}", reply_of(NotFound("unknown-order", "There is none.")))
    check_described("DELETE", "/api/v1/products/{id}", Reply(204, headers=CORRELATED))


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (Reply(418, b"{}"), "418 is not in contracts/http"),
        (Reply(200, b"{}", headers=CORRELATED), "is a required property"),
        (Reply(200, headers=CORRELATED), "with a body"),
        (Reply(200, b"<p>", "text/html", CORRELATED), "200 as text/html is not"),
        (Reply(503, b'{"type":"https://pulsecart.dev/problems/sold-out"}', PROBLEM, LATER), "sold-out"),
        (reply_of(Refused("sold-out", "All units are sold.")), "409 is not in contracts/http"),
    ],
    ids=["status", "schema", "empty", "media", "problem", "unexpected"],
)
def test_another_reply_is_named(reply: Reply, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_described("GET", PATH, reply)
