"""A running shop keeps to its own description, for valid and invalid requests (schemathesis)."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zlib import crc32

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode, Response
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import missing_required_header, negative_data_rejection, positive_data_acceptance

from tests.api.conftest import Asked
from tools.openapi.document import document

Case = AnyCase[Any]

EXAMPLES = int(os.environ.get("API_EXAMPLES", "20"))  # per operation; the same ones each time
STEPS = 12  # of one visitor
# No answer reveals the implementation.
ROOMS = "runtime|serving|shop|broker|edge|processes|admin|local"  # "/pulsecart/pay" is an event's source
INSIDE = re.compile(
    rf"Traceback|psycopg|site-packages|/pulsecart/({ROOMS})/|/functions/|unix://|\.sock\b|SELECT |relation \""
)
# No schema says these: two members that do not go together, a value that only we can make, characters no eye can see,
# a body that only a demo needs.
NO_SCHEMA_SAYS = {
    "amount-not-exact",
    "product-twice",
    "cursor-malformed",
    "sort-malformed",
    "query-malformed",
    "moment-malformed",
    "no-buyer",
    "unstorable",
}
# Moments at the ends of what Python, PostgreSQL and the shop can keep, in zones that lead beyond them.
MOMENTS = st.sampled_from(
    [
        "0001-01-01T00:00:00+14:00",
        "1999-12-31T23:59:59Z",
        "2000-01-01T00:00:00+00:01",
        "2999-12-31T23:59:59Z",
        "2999-12-31T23:59:59.999999-00:01",
        "9999-12-31T23:59:59-12:00",
    ]
) | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
schemathesis.openapi.format("date-time", MOMENTS)
NUL = "2100-01-01T00:00:00\0Z"
NOT_NOW = {410, 412, 422, 428}  # the request is good, and the shop is not as it would have to be


# Even a demo requires a token for these.
KEEPERS = {
    (method.upper(), path)
    for path, its in document()["paths"].items()
    for method, told in its.items()
    if told["security"] == [{"token": []}]
}


def _described() -> dict[str, Any]:
    """Return the document as it holds for a demo, which needs no token; tests/access checks access."""
    whole = document()
    for path in whole["paths"].values():
        for reported in path.values():
            reported["security"] = []
    return whole


schema = schemathesis.openapi.from_dict(_described())
# A stream that is opened has no end to wait for: tests/edge reads them.
answering = schema.exclude(tag="Live streams")


@answering.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # explicit: the examples, and what covers each bound of each schema
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(600)
def test_every_answer_is_as_it_is_described(case: Case, asked: Asked) -> None:
    _name_what_there_is(case, asked)
    _check(case, case.call(base_url=asked.shop.url, timeout=60, headers=_as_whom(case, asked)))


@pytest.mark.timeout(600)
def test_every_answer_is_as_it_is_described_where_requests_follow_from_answers(asked: Asked) -> None:
    machine: Any = answering.as_state_machine()

    class Visitor(machine):  # type: ignore[misc]  # made from the document
        def before_call(self, case: Case) -> None:
            if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
                case.body = _whole(case.body)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"base_url": asked.shop.url, "timeout": 60, "headers": _as_whom(case, asked)}

        def validate_response(self, response: Response, case: Case, *_: Any, **__: Any) -> None:
            _check(case, response)

    Visitor.run(
        settings=hypothesis.settings(
            max_examples=max(EXAMPLES // 4, 1),
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )


def _as_whom(case: Case, asked: Asked) -> dict[str, str]:
    """Send admin requests as an admin, and half of the others."""
    given = repr((case.path_parameters, case.query, case.body)).encode()
    keepers = (case.method.upper(), case.operation.path) in KEEPERS
    return asked.admin if keepers or crc32(given) % 2 else {}


def _check(case: Case, response: Response) -> None:
    case.validate_response(response, excluded_checks=list(_not_promised(case, response)))
    assert not INSIDE.search(response.text), response.text


def _not_promised(case: Case, response: Response) -> Iterator[Any]:
    if isinstance(case.body, NotSet):  # a body that is not needed may be absent
        yield negative_data_rejection
    # What RFC 6585 has for an If-Match that is missing; and OPTIONS without a question for consent, as on other paths.
    if response.status_code in (405, 428):
        yield missing_required_header
    reported = response.json() if response.headers.get("content-type") == ["application/problem+json"] else {}
    if response.status_code in NOT_NOW or reported.get("type", "").rpartition("/")[2] in NO_SCHEMA_SAYS:
        yield positive_data_acceptance


def _name_what_there_is(case: Case, asked: Asked) -> None:
    """Replace half of the valid but unknown ids by existing ones."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    case.body = _whole(case.body)
    parts = case.path.split("/")
    for before, part in pairwise(parts):
        name = part.strip("{}")
        known = asked.known.get(before, [])
        if part != name and known and name in (case.path_parameters or {}):
            given = str(case.path_parameters[name])
            number = sum(given.encode())
            if number % 2:
                case.path_parameters[name] = known[number // 2 % len(known)]


def _whole(body: Any) -> Any:
    """Return 1.0 as 1: JSON Schema treats them as equal, but the shop does not accept the first as an integer."""
    if isinstance(body, dict):
        return {name: _whole(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_whole(value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body


@pytest.mark.parametrize(
    "ends",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2999-12-31T23:59:59.999999Z", NUL],
)
def test_whatever_end_a_sale_was_given_everything_can_still_be_read_and_bought(asked: Asked, ends: str) -> None:
    (sale, product), at_any = (asked.known["flash-sales"][0], asked.known["products"][1]), {"if-match": "*"}
    with httpx.Client(base_url=asked.shop.url, timeout=30) as http:
        changed = http.put(f"/api/v1/flash-sales/{sale}", json={"endsAt": ends}, headers=asked.admin | at_any)
        assert changed.status_code in (200, 400, 409)
        for path in ("/api/v1/flash-sales", f"/api/v1/flash-sales/{sale}", "/api/v1/products", "/api/v1/sales"):
            assert http.get(path).status_code == 200, path
        assert http.get(f"/api/v1/products/{product}").status_code == 200
        bought = http.post("/api/v1/sync/purchase", json={"productId": product, "userId": ends[:4]})
        assert bought.status_code == 200, bought.text


def test_a_path_with_a_lines_end_is_answered_as_every_other(asked: Asked) -> None:
    for path in ("/a%0Ab", "/sse/a%0Ab", "/api/v1/products/a%0Ab"):
        answered = httpx.get(asked.shop.url + path)
        assert (answered.status_code, answered.headers["content-type"]) == (404, "application/problem+json"), path


def test_a_page_under_another_method_says_which_it_has(asked: Asked) -> None:
    answered = httpx.post(asked.shop.url + "/docs/api")
    assert (answered.status_code, answered.headers["allow"]) == (405, "GET, HEAD")


def test_nothing_was_logged_as_unexpected(asked: Asked) -> None:
    assert [line for line in asked.shop.said.splitlines() if "unexpected error" in line] == []
