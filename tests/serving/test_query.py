"""Numbers and other values of a query: one rule for all routes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsecart.edge.streams.news import BIGGEST, id_of
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.http import seconds_of
from pulsecart.serving.query import decimal, parameters, parse_integer

NOT_WHOLE = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1.0",
    "1e2",
    "1_0",
    "0x10",
    "01",
    "000000001000",
    "٣",
    "１２",
    "²",
    "१",
    "1\n",
    "9" * 5000,
]
NOT_DECIMAL = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "-0",
    ".5",
    "5.",
    "1_0.5",
    "٣.٥",
    "１",
    "01.5",
    "inf",
    "nan",
    "Infinity",
    "1e",
    "1\n",
    "1" * 33,
]


@pytest.mark.parametrize("text", NOT_WHOLE)
def test_what_json_would_not_write_is_no_whole_number(text: str) -> None:
    assert parse_integer(text, 10**18) is None
    assert id_of(text) is None or not text


@pytest.mark.parametrize("text", NOT_DECIMAL)
def test_what_json_would_not_write_is_no_decimal(text: str) -> None:
    assert decimal(text, 10**9) is None
    with pytest.raises(Malformed):
        seconds_of(text)


@given(st.integers(0, 10**30), st.integers(0, 10**20))
def test_a_whole_number_is_itself_up_to_the_most_and_nothing_above(number: int, most: int) -> None:
    assert parse_integer(str(number), most) == (number if number <= most else None)


@given(st.floats(0, 1e300, allow_subnormal=True).map(abs))
def test_every_number_that_json_writes_is_read_as_itself(number: float) -> None:
    assert decimal(repr(number), 1e300) == number


def test_a_number_has_no_more_digits_than_the_most_has() -> None:
    assert (parse_integer("100", 100, 1), parse_integer("101", 100, 1), parse_integer("0", 100, 1)) == (100, None, None)
    assert id_of(str(BIGGEST)) == (BIGGEST, 0)
    assert id_of(f"7-{BIGGEST + 1}") is None
    assert decimal("1e999", float("inf")) == float("inf")


def test_the_last_of_several_counts_and_what_is_blank_is_absent() -> None:
    assert parameters("limit=1&limit=2&q=&category=%20Tea%20") == {"limit": "2", "category": " Tea "}
    assert parameters("stock=", blank=True) == {"stock": ""}
