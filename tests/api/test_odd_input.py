"""Unusual text at every entrance of a running shop never causes a 5xx, and other requests are answered as usual."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from tests.api.conftest import Asked
from tests.api.odd import EVERYTHING, Sent

EXAMPLES = int(os.environ.get("ODD_EXAMPLES", "30"))
TOGETHER = 6  # odd requests at a time, beside the good ones
GOOD = ("/api/v1/sales", "/api/v1/products/1", "/api/v1/sync/stock/1", "/sse/stock/1", "/sse/flash-sales")


@pytest.fixture(scope="module")
def together() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(TOGETHER + len(GOOD)) as pool:
        yield pool


@pytest.fixture(scope="module")
def http(asked: Asked) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=asked.shop.url, timeout=30) as client:
        yield client


def status_of(http: httpx.Client, asked: Asked, sent: Sent) -> tuple[int, str]:
    """Return the status and the beginning of the body; a stream's end is not awaited."""
    known = () if {name for name, _ in sent.headers} & {"authorization", "cookie"} else tuple(asked.admin.items())
    keeper = known if sent.target.startswith(("/broker", "/api/v1/products", "/api/v1/flash-sales")) else ()
    named = [(name.encode(), value.encode()) for name, value in keeper]
    named += [(name.encode(), value) for name, value in sent.headers]
    request = http.build_request(sent.method, "/", headers=named, content=sent.body or None)
    request.url = request.url.copy_with(raw_path=sent.target.encode())
    response = http.send(request, stream=True)
    try:
        return response.status_code, next(response.iter_text(), "")
    finally:
        response.close()


@hypothesis.settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@hypothesis.given(st.lists(EVERYTHING, min_size=TOGETHER, max_size=TOGETHER))
@pytest.mark.timeout(120)
def test_odd_text_is_never_the_shop_s_fault_and_never_someone_else_s(
    asked: Asked, http: httpx.Client, together: ThreadPoolExecutor, odd: list[Sent]
) -> None:
    asking = [(sent, together.submit(status_of, http, asked, sent)) for sent in odd]
    beside = [(path, together.submit(status_of, http, asked, Sent("GET", path))) for path in GOOD]
    for sent, answer in asking:
        assert answer.result()[0] < 500, (sent, answer.result())
    for path, answer in beside:
        assert answer.result()[0] == 200, (path, answer.result(), odd)


ODD_IDS = (
    "%00",
    "a%00b",
    "%01",
    "%C2%85",
    "%7F",
    "%ED%A0%80",
    "%FF",
    "x" * 3000,
    "%D9%A3",
    "%F0%9F%98%80",
    "..%2F..",
    "{}",
)


def test_one_odd_stream_leaves_every_other_stream_and_the_sales_as_they_are(
    asked: Asked, http: httpx.Client, together: ThreadPoolExecutor
) -> None:
    for odd in ODD_IDS:
        sent = [Sent("GET", f"/sse/stock/{odd}"), Sent("GET", f"/sse/stock/1?last_event_id={odd}")]
        sent += [Sent("GET", f"/sse/orders/{odd}?ticket={odd}")]
        asking = [together.submit(status_of, http, asked, one) for one in sent]
        beside = {path: together.submit(status_of, http, asked, Sent("GET", path)) for path in GOOD}
        assert all(answer.result()[0] in (200, 400, 401, 404) for answer in asking), (odd, [a.result() for a in asking])
        assert {path: answer.result()[0] for path, answer in beside.items()} == dict.fromkeys(GOOD, 200), odd
        assert beside["/sse/stock/1"].result()[1].startswith("retry: ")


def bought(members: bytes) -> Sent:
    return Sent("POST", "/api/v1/sync/purchase", body=b'{"productId":1,' + members + b"}")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (Sent("GET", "/api/v1/products?q=a%00b"), "unstorable"),
        (bought(b'"userId":7,"more":["\\u0000"]'), "unstorable"),
        (bought(b'"userId":7,"a\\u0000":1'), "unstorable"),
        (bought(b'"userId":7,"a":"\\ud800"'), "body-not-json"),
        (bought(b'"userId":"\\u0000"'), "body-invalid"),
        (
            Sent("POST", "/api/v1/sync/purchase", body=b'{"productId":1,"userId":7,"expectedPrice":1e400}'),
            "body-invalid",
        ),
    ],
)
def test_what_cannot_be_stored_is_400_with_what_to_do(asked: Asked, http: httpx.Client, sent: Sent, why: str) -> None:
    status, text = status_of(http, asked, sent)
    problem = json.loads(text)
    assert (status, problem["type"].rpartition("/")[2]) == (400, why)


def test_nothing_of_it_was_logged_as_unexpected(asked: Asked) -> None:
    assert [line for line in asked.shop.said.splitlines() if "unexpected error" in line or "Traceback" in line] == []
