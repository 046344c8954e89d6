"""
Maps paths to operations, for an edge in front of operations that are deployed on their own.

``python -m tools.edge_routes`` writes the table.
"""

import json
from pathlib import Path
from typing import Final

from pulsecart.serving.routes import matched

FILE: Final = Path(__file__).with_name("routes.json")


class Table:
    """The route table. ``routes``: an operation's Kubernetes name → its routes as ``"GET /api/v1/orders/{id}"``."""

    def __init__(self, routes: dict[str, list[str]]) -> None:
        self._exact: dict[str, dict[str, str]] = {}
        self._patterns: dict[str, dict[str, str]] = {}
        for operation, answered in routes.items():
            for route in answered:
                method, _, path = route.partition(" ")
                (self._patterns if "{" in path else self._exact).setdefault(path, {})[method] = operation

    def methods(self, path: str) -> dict[str, str]:
        """Return method → operation for a path; empty if no operation has it."""
        found = dict(self._exact.get(path, {}))
        for pattern, operations in self._patterns.items():
            if matched(pattern, path) is not None:
                found = {**operations, **found}
        return found


def load() -> Table:
    """Load the generated table."""
    return Table(json.loads(FILE.read_bytes()))
