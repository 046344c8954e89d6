"""A Trigger's subscriber gets exactly the events that match its filter."""

from typing import Any

import pytest

from pulsecart.runtime.event import CloudEvent
from tests.conformance.conftest import Apply, Send
from tests.conformance.filter_cases import BARE, RICH, TABLES, Case
from tests.conformance.subscriber import Subscriber

pytestmark = pytest.mark.timeout(240)  # up to 41 Triggers become Ready
SENT = CloudEvent(
    id="e-1", source="/here/orders", type="order.created.v1", subject="42", extensions={"orderstatus": "pending"}
)
LAST = CloudEvent(id="last", source="/test", type="last")
ALL_OF_IT = {"exact": {"type": "last"}}

PASS: list[dict[str, Any]] = [
    {},
    {"filter": {"attributes": {}}},
    {"filter": {"attributes": {"type": "order.created.v1"}}},
    {"filter": {"attributes": {"type": "order.created.v1", "orderstatus": "pending"}}},
    {"filter": {"attributes": {"orderstatus": ""}}},
    {"filters": []},
    {"filters": [{"exact": {"type": "order.created.v1"}}]},
    {"filters": [{"prefix": {"type": "order."}}, {"suffix": {"type": ".v1"}}]},
    {"filters": [{"prefix": {"source": "/here"}}]},
    {"filters": [{"any": [{"exact": {"type": "other"}}, {"exact": {"subject": "42"}}]}]},
    {"filters": [{"all": [{"exact": {"id": "e-1"}}, {"not": {"exact": {"orderstatus": "confirmed"}}}]}]},
    {"filters": [{"not": {"exact": {"missing": "x"}}}]},
    {"filters": [{"not": {"any": [{"prefix": {"type": "other."}}, {"suffix": {"type": ".v2"}}]}}]},
    {"filter": {"attributes": {"type": "other"}}, "filters": [{"exact": {"type": "order.created.v1"}}]},
    {"filters": [{"exact": {"type": "order.created.v1", "orderstatus": "pending"}}]},
]
FAIL: list[dict[str, Any]] = [
    {"filter": {"attributes": {"type": "Order.Created.v1"}}},
    {"filter": {"attributes": {"type": "order.created.v1", "orderstatus": "confirmed"}}},
    {"filter": {"attributes": {"missing": ""}}},
    {"filter": {"attributes": {"dataschema": ""}}},
    {"filters": [{"exact": {"type": "order.created"}}]},
    {"filters": [{"prefix": {"type": "created"}}]},
    {"filters": [{"suffix": {"type": ".v2"}}]},
    {"filters": [{"exact": {"missing": "x"}}]},
    {"filters": [{"prefix": {"missing": "x"}}]},
    {"filters": [{"exact": {"type": "order.created.v1"}}, {"exact": {"subject": "43"}}]},
    {"filters": [{"any": [{"exact": {"type": "other"}}, {"exact": {"subject": "43"}}]}]},
    {"filters": [{"all": [{"exact": {"id": "e-1"}}, {"exact": {"id": "e-2"}}]}]},
    {"filters": [{"not": {"exact": {"type": "order.created.v1"}}}]},
    {"filter": {"attributes": {"type": "order.created.v1"}}, "filters": [{"exact": {"type": "other"}}]},
]


@pytest.mark.parametrize(("specs", "wanted"), [(PASS, True), (FAIL, False)], ids=["pass", "fail"])
async def test_a_filter_lets_through_what_knatives_does(
    apply: Apply, send: Send, subscriber: Subscriber, specs: list[dict[str, Any]], wanted: bool
) -> None:
    triggers = {f"t{at}": spec for at, spec in enumerate(specs)}
    await apply(**triggers, everything={})
    await send(SENT)
    await send(LAST)
    await subscriber.until(lambda got: sum(g.path == "/everything" for g in got) == 2)
    if wanted:
        await subscriber.until(
            lambda got: {g.path for g in got if g.event.id == SENT.id} >= {f"/{t}" for t in triggers}
        )
    received = {got.path.lstrip("/") for got in subscriber.got if got.event.id == SENT.id} - {"everything"}
    assert received == (triggers.keys() if wanted else set())


@pytest.mark.parametrize("cases", TABLES.values(), ids=TABLES)
async def test_attributes_are_compared_as_knative_compares_them(
    apply: Apply, send: Send, subscriber: Subscriber, cases: list[Case]
) -> None:
    triggers = {f"t{at}": case.spec for at, case in enumerate(cases)}
    await apply(**triggers, everything={})
    wanted = {(f"/t{at}", RICH.id) for at, case in enumerate(cases) if case.rich}
    wanted |= {(f"/t{at}", BARE.id) for at, case in enumerate(cases) if case.bare}
    for event in (RICH, BARE, LAST):
        await send(event)
    await subscriber.until(lambda got: sum(g.path == "/everything" for g in got) == 3)
    await subscriber.until(lambda got: {(g.path, g.event.id) for g in got} >= wanted)
    reached = {(got.path, got.event.id) for got in subscriber.got if got.path != "/everything"}
    assert reached - {(f"/t{at}", LAST.id) for at in range(len(cases))} == wanted
