"""
Which operation answers which path, for an edge that stands before operations served alone.

    python -m runtime.edge.routes            writes routes.json from the operations
    python -m runtime.edge.routes --check    says whether it is stale; exit status 1 when it is
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from runtime.routes import matched

FILE: Final = Path(__file__).with_name("routes.json")


class Table:
    """``routes``: operation's name on a cluster → its routes as ``"GET /api/v1/orders/{id}"``."""

    def __init__(self, routes: dict[str, list[str]]) -> None:
        self._exact: dict[str, dict[str, str]] = {}
        self._patterns: dict[str, dict[str, str]] = {}
        for operation, answered in routes.items():
            for route in answered:
                method, _, path = route.partition(" ")
                (self._patterns if "{" in path else self._exact).setdefault(path, {})[method] = operation

    def methods(self, path: str) -> dict[str, str]:
        """Method → operation, for this path; empty where nobody answers it."""
        found = dict(self._exact.get(path, {}))
        for pattern, operations in self._patterns.items():
            if matched(pattern, path) is not None:
                found = {**operations, **found}
        return found


def load() -> Table:
    """The table as it was written."""
    return Table(json.loads(FILE.read_bytes()))


def written() -> str:
    """What the file must hold."""
    from runtime import registry

    routes = {
        operation.dns_name: [f"{route.method} {route.path}" for route in operation.routes]
        for name, operation in registry.load_all().items()
        if name != "edge" and operation.routes
    }
    return json.dumps(routes, indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="The edge's route table.")
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        FILE.write_text(written())
    elif not FILE.exists() or FILE.read_text() != written():
        sys.stderr.write(f"{FILE.name} is stale: run python -m runtime.edge.routes\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
