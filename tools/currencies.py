"""
Generates the decimal digits of each ISO 4217 currency, for Python and for the pages.

    python -m tools.currencies            writes shop/currencies.py and the page's currencies.js from package iso4217
    python -m tools.currencies --check    lists stale files; exit status 1 if there are any

The package is a development dependency: it reads 80 KB of XML when imported, and the table changes once a year. The
database's own table is the function ``minor_units`` of a migration; a test compares the three.
"""

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = ROOT / "pulsecart" / "shop" / "currencies.py"
SCRIPT: Final = ROOT / "pulsecart" / "edge" / "web" / "static" / "currencies.js"
USUAL: Final = 2
WIDTH: Final = 112
INDENT: Final = "        "


def by_digits() -> dict[int, list[str]]:
    """Decimal digits → codes, both sorted. Codes without a minor unit (XAU, XXX) are omitted: no price uses them."""
    from iso4217 import Currency

    found: dict[int, list[str]] = {}
    for currency in Currency:
        if currency.exponent is not None:
            found.setdefault(currency.exponent, []).append(currency.code)
    return {digits: sorted(found[digits]) for digits in sorted(found)}


def published() -> str:
    """Return the date of the table, e.g. ``2026-01-01``."""
    from iso4217 import __published__

    return str(__published__)


def python_text() -> str:
    """Return the content of ``pulsecart/shop/currencies.py``."""
    tables = [f'    {digits}: """\n{_rows(codes)}\n    """,' for digits, codes in by_digits().items()]
    lines = [
        f'"""ISO 4217 of {published()}: each currency and its decimal digits. Written by tools.currencies."""',
        "",
        "from typing import Final",
        "",
        f"USUAL: Final = {USUAL}  # digits of most",
        "CODES: Final = {",
        *tables,
        "}",
        "DIGITS: Final = {code: digits for digits, codes in CODES.items() for code in codes.split()}",
    ]
    return "\n".join(lines) + "\n"


def script_text() -> str:
    """Return the content of ``currencies.js``: the currencies whose digits are not two."""
    rest = {code: digits for digits, codes in by_digits().items() for code in codes if digits != USUAL}
    named = ", ".join(f"{code}: {rest[code]}" for code in sorted(rest))
    return (
        f"// ISO 4217 of {published()}: the currencies whose amounts have not {USUAL} decimal digits."
        " Written by python -m tools.currencies.\n\n"
        f"const DIGITS = {{ {named} }};\n\n"
        f"export const digits = (currency) => DIGITS[currency] ?? {USUAL};\n"
    )


def _rows(codes: list[str]) -> str:
    return textwrap.fill(" ".join(codes), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.currencies", description="ISO 4217 for the code and the pages.")
    parser.add_argument("--check", action="store_true", help="say which file is stale; write nothing")
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in ((PYTHON, python_text()), (SCRIPT, script_text()))
        if not path.exists() or path.read_text() != text
    ]
    for path, text in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run ./scripts/generate\n")
        else:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
