"""Amounts go out as decimals and come back as the same minor units."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pulsecart.shop.currencies import DIGITS
from pulsecart.shop.money import PRICE_MINOR_MAX, decimal_amount, minor_amount

currencies = st.sampled_from(sorted(DIGITS))
amounts = st.integers(0, 10**15) | st.integers(0, 20 * 1000 * PRICE_MINOR_MAX)  # the dearest order of all


@given(amounts, currencies)
def test_an_amount_comes_back_from_its_contract_as_the_same_minor_units(minor: int, currency: str) -> None:
    reported = json.loads(json.dumps(decimal_amount(minor, currency)))
    assert minor_amount(reported, currency) == minor


@given(amounts, currencies)
def test_a_contract_s_decimal_has_no_more_digits_than_its_currency(minor: int, currency: str) -> None:
    digits = json.dumps(decimal_amount(minor, currency)).partition(".")[2].removesuffix("0")
    assert len(digits) <= DIGITS[currency]


@given(amounts, amounts, currencies)
def test_decimals_are_ordered_as_their_minor_units(one: int, other: int, currency: str) -> None:
    assert (decimal_amount(one, currency) < decimal_amount(other, currency)) == (one < other)


def test_the_seed_s_price_reads_as_people_write_it() -> None:
    assert json.dumps(decimal_amount(4990, "USD")) == "49.9"
    assert json.dumps(decimal_amount(1234, "BHD")) == "1.234"
    assert json.dumps(decimal_amount(12345, "UYW")) == "1.2345"
    assert minor_amount(500, "JPY") == 500
    assert minor_amount(500, "VND") == 500
