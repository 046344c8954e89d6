"""Amounts: integers in minor units inside, decimals in contracts. Digits: ISO 4217 (``pulsecart.shop.currencies``)."""

from functools import lru_cache

from pulsecart.runtime.problem import Malformed
from pulsecart.shop.currencies import DIGITS, USUAL

# Of one unit's price. The dearest order there can be, 20 lines of 1,000 such units, is still exact as a JSON number.
PRICE_MINOR_MAX = 10**11


def is_currency(code: str) -> bool:
    """Whether ISO 4217 lists it with a minor unit: ``USD`` and ``VND`` are, ``ZZZ``, ``DEM`` and ``XAU`` are not."""
    return code in DIGITS


@lru_cache(1024)  # a sale has few amounts, and each order tells them six times
def decimal_amount(minor: int, currency: str) -> float:
    """4990, USD → 49.9: the shortest decimal, exact in JSON up to 10^15 minor units."""
    digits = DIGITS.get(currency, USUAL)
    return float(round(minor / 10**digits, digits)) if digits else float(minor)


def minor_amount(amount: float, currency: str) -> int:
    """49.9, USD → 4990; what is finer than the currency's smallest unit is rounded."""
    scale: int = 10 ** DIGITS.get(currency, USUAL)
    return round(amount * scale)


def check_currency(code: str) -> None:
    """
    Raises:
        Malformed: nothing can cost so much of it.
    """
    if not is_currency(code):
        raise Malformed("currency-malformed", "currency is a code of ISO 4217 that has a minor unit, e.g. EUR.")


def exact_minor(amount: float, currency: str, what: str = "price") -> int:
    """
    Raises:
        Malformed: the currency has no such fraction.
    """
    minor = minor_amount(amount, currency)
    if decimal_amount(minor, currency) != amount:
        raise Malformed("amount-not-exact", f"{what} {amount} is no whole number of {currency}'s smallest unit.")
    return minor


def exact_price(amount: float, currency: str) -> int:
    """
    What one unit costs.

    Raises:
        Malformed: the currency has no such fraction, or it is more than an order can be charged.
    """
    minor = exact_minor(amount, currency)
    if minor > PRICE_MINOR_MAX:
        most = decimal_amount(PRICE_MINOR_MAX, currency)
        raise Malformed("amount-too-large", f"A price in {currency} is at most {most:.0f}.")
    return minor


def wire_id(id: str) -> str | int:
    """The seed's numeric ids as JSON numbers, all others as strings."""
    return int(id) if id.isdecimal() and id.isascii() and (id == "0" or id[0] != "0") and len(id) < 16 else id
