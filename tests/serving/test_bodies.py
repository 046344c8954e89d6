"""A request's body is bounded in depth and values, also in unknown members."""

import json
from typing import Any

import pytest

from functions.checkout.bodies import PurchaseBody
from functions.products.bodies import ProductBody
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.bodies import DEPTH_MAX, VALUES_MAX, check_extent, decoded

GOOD = {"productId": 1, "userId": 7}


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels > 1 else []


def refused(body: bytes) -> str:
    with pytest.raises(Malformed) as problem:
        decoded(body, PurchaseBody)
    assert problem.value.status == 400
    return problem.value.type


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 200, 30_000])
def test_a_body_that_is_nested_too_deep_is_400(opening: bytes, levels: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * levels + b"1" + closing * levels
    assert refused(b'{"productId":1,"userId":7,"more":' + deep + b"}") == "body-too-deep"


@pytest.mark.parametrize("id", ["", "a b", "a\n", "\n", "a\x00", "é", "x" * 65, 10**15, -1, 1.5, None])
@pytest.mark.parametrize("member", sorted(GOOD))
def test_an_id_is_printable_ascii_to_its_last_character(member: str, id: Any) -> None:
    assert refused(json.dumps(GOOD | {member: id}).encode()) == "body-invalid"


@pytest.mark.parametrize(
    "wrong", [{"sku": "A-1\n"}, {"name": "Lamp\n"}, {"name": " "}, {"category": "Home\n"}, {"currency": "USD\n"}]
)
def test_a_product_s_words_have_no_newline_at_their_end(wrong: dict[str, str]) -> None:
    lamp = {"sku": "A-1", "name": "Lamp", "price": 1, "currency": "USD", "category": "Home", "description": "a\nb\n"}
    assert decoded(json.dumps(lamp).encode(), ProductBody).description == "a\nb\n"
    with pytest.raises(Malformed):
        decoded(json.dumps(lamp | wrong).encode(), ProductBody)


def test_a_body_of_too_many_values_is_400() -> None:
    assert refused(json.dumps(GOOD | {"more": [0] * VALUES_MAX}).encode()) == "body-too-long"
    assert refused(json.dumps(GOOD | {"more": {str(n): n for n in range(VALUES_MAX)}}).encode()) == "body-too-long"


def test_what_is_within_both_is_decoded_though_no_one_wants_it() -> None:
    body = json.dumps(GOOD | {"deep": nested(DEPTH_MAX - 1), "many": [0] * (VALUES_MAX - 100)}).encode()
    assert decoded(body, PurchaseBody).productId == 1


def test_brackets_and_commas_in_a_text_are_no_values() -> None:
    assert decoded(json.dumps(GOOD | {"note": "[{,:" * 5000}).encode(), PurchaseBody).userId == 7


@pytest.mark.parametrize("body", [b"[" * 60_000, b"{" * 100, b"\xff" * 100 + b"[" * 100, b'"' + b"[" * 100])
def test_what_is_no_json_at_all_is_400_in_its_own_words(body: bytes) -> None:
    assert refused(body) in ("body-not-json", "body-too-deep")


def test_an_order_as_large_as_orders_get_is_within_the_bounds() -> None:
    check_extent(json.dumps({"userId": 7, "items": [{"productId": n, "qty": 1} for n in range(20)]}).encode())
