"""Lists all operation names by their folders under ``functions/``; they include every subscriber in ``eventing/``."""

from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


def names() -> list[str]:
    """Return the operations' names, sorted."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py"))
