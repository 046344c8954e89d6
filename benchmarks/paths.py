"""
Compares the same sale on both paths: the buyers' waiting times, the answers per second, the CPU.

    scripts/python -m benchmarks.paths [--buyers 20000] [--units 1000] [--connections 64 500 2000] [--out FILE.json]

A fresh shop for each sale, so that no sale pays for the one before it.
"""

import argparse
import gc
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from benchmarks.machine import described
from benchmarks.shop import shop
from tools.crowd.__main__ import allow_connections
from tools.crowd.checks import checks
from tools.crowd.play import Plan, play
from tools.crowd.report import document


def sale(
    path: str, connections: int, buyers: int, units: int, workers: int = 1, code: Path | None = None
) -> dict[str, Any]:
    """Return the report of one sale; ``passed``: all its checks passed. ``workers``, ``code``: as for a shop."""
    with shop(workers, code) as (here, _):
        plan = Plan(
            url=here.url,
            path=path,
            buyers=buyers,
            units=units,
            connections=connections,
            settle_timeout_s=600,
            processes=here.processes,
        )
        gc.disable()
        played = uvloop.run(play(plan, Console(file=io.StringIO())))
        found = checks(plan, played)
    result = document(plan, played, found)
    result["passed"] = all(check.ok for check in found)
    return result


HEAD = (
    "| path | connections | answers/s | p50 ms | p95 ms | p99 ms | CPU µs per answer, until drained "
    "| peak memory MB: workers, postgres, valkey | drained after s |"
)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown that ``docs/sync-or-async.md`` shows."""
    return "\n".join([HEAD, "|---|---|---|---|---|---|---|---|---|", *map(_line, rows)]) + "\n"


def _line(result: dict[str, Any]) -> str:
    ms, server = result["latency_ms"]["all"], result["server"]
    memory = ", ".join(f"{mb:.0f}" for mb in server["peak_mb"].values())
    cells = [
        result["path"],
        f"{result['connections']:,}",
        f"{result['answers_per_s']:,.0f}",
        *(f"{ms[q]:,.0f}" for q in ("p50", "p95", "p99")),
        f"{server['cpu_us_per_answer']:.0f}, {server['cpu_us_per_answer_until_drained']:.0f}",
        memory,
        f"{result['drain_s']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.paths", description=__doc__)
    parser.add_argument("--buyers", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 500, 2000])
    parser.add_argument("--paths", nargs="+", default=["sync", "async"])
    parser.add_argument(
        "--others", type=float, default=0.3, help="repeat a sale when other programs use more cores than this"
    )
    parser.add_argument("--repeats", type=int, default=0, help="the most repetitions; 0: repeat no sale")
    parser.add_argument("--out", type=Path, help="write the reports as JSON, and the table as Markdown beside it")
    options = parser.parse_args()
    allow_connections(max(options.connections))
    result: dict[str, Any] = {"machine": described(), "rows": []}
    for connections in options.connections:
        for path in options.paths:
            for _ in range(options.repeats + 1):
                found = sale(path, connections, options.buyers, options.units)
                if found["server"]["others_cores"] <= options.others:
                    break
            result["rows"].append(found)
            print(
                _line(result["rows"][-1]),
                "" if result["rows"][-1]["passed"] else result["rows"][-1]["checks"],
                flush=True,
            )
            if options.out:
                options.out.write_text(json.dumps(result, indent=1) + "\n")
                options.out.with_suffix(".md").write_text(table(result["rows"]))
    print(table(result["rows"]))
    return 0 if all(row["passed"] for row in result["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
