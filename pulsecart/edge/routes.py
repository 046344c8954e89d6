"""
Maps paths to operations, for an edge in front of operations that are deployed on their own.

``python -m tools.edge_routes`` writes the table.
"""

import json
from pathlib import Path
from typing import Final

from pulsecart.serving.routes import RouteTable

FILE: Final = Path(__file__).with_name("routes.json")


def load() -> RouteTable[str]:
    """Load the generated table: an operation's Kubernetes name for each route."""
    table: RouteTable[str] = RouteTable()
    for operation, routes in json.loads(FILE.read_bytes()).items():
        for route in routes:  # "GET /api/v1/orders/{id}"
            method, _, path = route.partition(" ")
            table.add(method, path, operation)
    return table
