"""Amounts: integers in minor units inside, decimals in contracts."""

from functools import lru_cache

EXPONENTS = {"JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3}  # ISO 4217; every other currency here has 2


@lru_cache(1024)  # a sale has few amounts, and each order tells them six times
def decimal_amount(minor: int, currency: str) -> float:
    """4990, USD → 49.9: the shortest decimal, exact in JSON up to 10^15 minor units."""
    exponent = EXPONENTS.get(currency, 2)
    return float(round(minor / 10**exponent, exponent)) if exponent else float(minor)


def minor_amount(amount: float, currency: str) -> int:
    """49.9, USD → 4990."""
    scale: int = 10 ** EXPONENTS.get(currency, 2)
    return round(amount * scale)
