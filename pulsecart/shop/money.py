"""
Converts amounts: integers in minor units in the code, decimals in contracts.

The digits of a currency are those of ISO 4217 (``pulsecart.shop.currencies``).
"""

from functools import lru_cache

from pulsecart.runtime.problem import Malformed
from pulsecart.shop.currencies import DIGITS, USUAL

# The largest price of one unit. The total of the largest order, 20 lines of 1,000 such units, is an exact JSON number.
PRICE_MINOR_MAX = 10**11


def is_currency(code: str) -> bool:
    """Whether ISO 4217 lists the code with a minor unit: ``USD`` and ``VND`` yes; ``ZZZ``, ``DEM`` and ``XAU`` no."""
    return code in DIGITS


@lru_cache(1024)  # a sale has few amounts, and each order converts them six times
def decimal_amount(minor: int, currency: str) -> float:
    """4990, USD → 49.9: the shortest decimal, exact in JSON up to 10^15 minor units."""
    digits = DIGITS.get(currency, USUAL)
    return float(round(minor / 10**digits, digits)) if digits else float(minor)


def minor_amount(amount: float, currency: str) -> int:
    """49.9, USD → 4990; fractions finer than the currency's smallest unit are rounded."""
    scale: int = 10 ** DIGITS.get(currency, USUAL)
    return round(amount * scale)


def check_currency(code: str) -> None:
    """
    Raises:
        Malformed: ISO 4217 does not list the code with a minor unit.
    """
    if not is_currency(code):
        raise Malformed(
            "currency-malformed", "currency must be an ISO 4217 code of a currency with a minor unit, e.g. EUR."
        )


def exact_minor(amount: float, currency: str, what: str = "price") -> int:
    """
    Convert an amount without rounding.

    Raises:
        Malformed: the amount has a finer fraction than the currency.
    """
    minor = minor_amount(amount, currency)
    if decimal_amount(minor, currency) != amount:
        raise Malformed(
            "amount-not-exact", f"{what} {amount} is not a whole number of {currency}'s smallest unit. Round it."
        )
    return minor


def exact_price(amount: float, currency: str) -> int:
    """
    Convert the price of one unit.

    Raises:
        Malformed: the price has a finer fraction than the currency, or is above PRICE_MINOR_MAX.
    """
    minor = exact_minor(amount, currency)
    if minor > PRICE_MINOR_MAX:
        most = decimal_amount(PRICE_MINOR_MAX, currency)
        raise Malformed("amount-too-large", f"A price in {currency} is at most {most:.0f}.")
    return minor


def wire_id(id: str) -> str | int:
    """Return numeric ids as JSON numbers, as the seed API has them, and all others as strings."""
    return int(id) if id.isdecimal() and id.isascii() and (id == "0" or id[0] != "0") and len(id) < 16 else id
