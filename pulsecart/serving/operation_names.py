"""The operations' names, by their folders under ``functions/``: the subscribers of ``eventing/`` are among them."""

from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


def names() -> list[str]:
    """The operations' names, sorted."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py"))
