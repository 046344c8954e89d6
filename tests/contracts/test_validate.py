"""An event that violates its contract is rejected with the error, its place, and the correction."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.contracts import FOREIGN_TYPES, event_types, schema, validate
from pulsecart.runtime.event import CloudEvent, schema_of
from pulsecart.runtime.problem import Malformed

CREATED = "ecommerce.order.order.created.v1"


def event_of(event_type: str, data: Any) -> CloudEvent:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return CloudEvent(id="e-1", source="/pulsecart/checkout", type=event_type, data=body)


def refusal(event: CloudEvent) -> Malformed:
    with pytest.raises(Malformed) as caught:
        validate(event)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_every_example_of_every_contract_passes(event_type: str) -> None:
    for example in schema(event_type)["examples"]:
        validate(replace(event_of(event_type, example), dataschema=schema_of(event_type)))


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_an_event_without_any_required_member_is_turned_away(event_type: str) -> None:
    document = schema(event_type)
    for name in document["required"]:
        lacking = {key: value for key, value in document["examples"][0].items() if key != name}
        assert name in refusal(event_of(event_type, lacking)).detail


def created(**changes: Any) -> CloudEvent:
    return event_of(CREATED, {**schema(CREATED)["examples"][0], **changes})


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"items": [{"productId": "1", "qty": 0, "price": 1}]}, "/items/0/qty"),
        ({"items": [{"productId": "1", "qty": "1", "price": 1}]}, "/items/0/qty"),
        ({"items": []}, "/items"),
        ({"totalAmount": "49.90"}, "/totalAmount"),
        ({"totalAmount": -1}, "/totalAmount"),
        ({"totalAmount": 0.1 + 0.2}, "/totalAmount"),
        ({"currency": "usd"}, "/currency"),
        ({"status": "SHIPPED"}, "/status"),
        ({"userId": 12345}, "/userId"),
        ({"userId": ""}, "/userId"),
        ({"orderId": "a\u0000b"}, "/orderId"),
    ],
    ids=str,
)
def test_a_refusal_points_at_the_member_that_is_wrong(changes: dict[str, Any], pointer: str) -> None:
    problem = refusal(created(**changes))
    assert problem.type == "contract-broken"
    assert problem.document()["pointer"] == pointer
    assert problem.document()["reason"]
    assert schema_of(CREATED) in problem.detail, "the refusal says where to read what is right"


def test_a_time_that_is_no_time_is_turned_away() -> None:
    example = schema("ecommerce.order.order.confirmed.v1")["examples"][0]
    event = event_of("ecommerce.order.order.confirmed.v1", {**example, "payBy": "soon"})
    assert refusal(event).document()["pointer"] == "/payBy"


def test_an_unknown_type_is_turned_away_with_what_to_do() -> None:
    problem = refusal(event_of("ecommerce.order.order.invented.v1", {}))
    assert problem.type == "unknown-type"
    assert "contracts/" in problem.detail


@pytest.mark.parametrize("event_type", ["", "x", "a.b", "../../etc/passwd", "ecommerce.order.order.created.v2"])
def test_a_type_of_any_form_is_answered_and_never_opens_a_file(event_type: str) -> None:
    assert refusal(event_of(event_type, {})).type == "unknown-type"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_data_that_is_no_json_object_is_turned_away(body: bytes) -> None:
    assert refusal(event_of(CREATED, body)).type == "contract-broken"


def test_data_in_another_format_is_turned_away_and_a_charset_is_not() -> None:
    assert "datacontenttype" in refusal(replace(created(), datacontenttype="text/xml")).detail
    validate(replace(created(), datacontenttype="application/json; charset=utf-8"))


def test_an_event_that_claims_another_schema_is_turned_away() -> None:
    assert "dataschema" in refusal(replace(created(), dataschema=schema_of("ecommerce.order.order.paid.v1"))).detail


def test_a_very_long_wrong_value_does_not_fill_the_refusal() -> None:
    assert len(refusal(created(status="x" * 100_000)).detail) < 1_000


def test_the_few_foreign_types_pass_whatever_they_carry() -> None:
    for event_type in FOREIGN_TYPES:
        validate(event_of(event_type, b"anything"))
    assert FOREIGN_TYPES.isdisjoint(event_types())
