"""
Generates the edge's table of routes, for an edge in front of operations that are deployed on their own.

    python -m tools.edge_routes            writes pulsecart/edge/routes.json from the operations
    python -m tools.edge_routes --check    exit status 1 if the file is stale
"""

import argparse
import json
import sys

from pulsecart.edge.routes import FILE
from pulsecart.processes import registry


def written() -> str:
    """Return the content of the file."""
    routes = {
        operation.dns_name: [f"{route.method} {route.path}" for route in operation.routes]
        for name, operation in registry.load_all().items()
        if name != "edge" and operation.routes
    }
    return json.dumps(routes, indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the edge's route table.")
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        FILE.write_text(written())
    elif not FILE.exists() or FILE.read_text() != written():
        sys.stderr.write(f"pulsecart/edge/{FILE.name} is stale: run ./scripts/generate\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
