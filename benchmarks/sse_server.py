"""``python -m benchmarks.sse_server FD SIDE``: serves the edge alone, through one of its two adapters."""

import os
import socket
import sys

import uvloop

from functions.edge.main import edge, edge_app
from pulsecart.processes.function import Function, server
from pulsecart.runtime.deps import open_deps
from pulsecart.runtime.settings import read

DIRECT, TASKS = "direct", "task per client"


async def main() -> None:
    deps = open_deps(read(os.environ))
    application = edge_app(deps) if sys.argv[2] == DIRECT else Function(edge.operation, deps)
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        await server(application, deps.before_shutdown).serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(main())
