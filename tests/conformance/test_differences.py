"""Brokers differ only in the ways that docs/conformance.md lists."""

import re
from pathlib import Path

from tests.conformance.differences import DIFFERENCES

PAGE = Path(__file__).parents[2] / "docs/conformance.md"


def test_every_difference_is_a_row_of_the_page() -> None:
    table = PAGE.read_text("utf-8").partition("## Differences")[2].partition("\n\nThe suite found")[0]
    rules = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert rules[0] == "Rule"
    assert rules[1:] == list(DIFFERENCES)
