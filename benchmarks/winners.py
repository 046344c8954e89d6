"""
Compares the winners' waiting time: the same sales against the shop of another checkout and of this one, in turns.

    git worktree add ../before 73484ae
    scripts/python -m benchmarks.winners ../before [--connections 2000 10000] [--workers 1 2] [--out FILE.json]

Two kinds of sale: UNITS for BUYERS, and one in which all buyers win. Each has a new shop; one player plays them all.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import described
from benchmarks.paths import sale
from benchmarks.report import write_report
from tools.crowd.__main__ import allow_connections

WANTED = 4.0  # winners' p99 ÷ p50 of all answers, at most
EVERYBODY_WINS = 500  # connections of the sale in which all win


def pairs(before: Path, count: int, **plan: int) -> dict[str, Any]:
    """Return the medians of ``count`` sales of each side, played in turns."""
    taken: dict[str, list[dict[str, Any]]] = {"before": [], "after": []}
    for _ in range(count):
        for side, code in (("before", before), ("after", None)):
            sale_result = sale("sync", code=code, **plan)
            taken[side].append(sale_result)
            print(
                f"  {side:6} {line(summary([sale_result]))}" + ("" if sale_result["passed"] else " FAILED"),
                file=sys.stderr,
            )
    sides = {side: summary(sales) for side, sales in taken.items()}
    return {**plan, **sides, "faster": round(sides["after"]["per_s"] / sides["before"]["per_s"], 2)}


def summary(sales: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return medians; ``ratios`` are of winners' p99 to the p50 of all answers, sale by sale."""
    ratios = [sale_result["winners_p99_per_all_p50"] for sale_result in sales]
    return {
        "ratio": median(ratios),
        "ratios": ratios,
        "winners_ms": {
            name: _median(sale_result["winners_ms"][name] for sale_result in sales) for name in ("p50", "p95", "p99")
        },
        "all_ms": {
            name: _median(sale_result["latency_ms"]["all"][name] for sale_result in sales)
            for name in ("p50", "p95", "p99")
        },
        "lag_p99_ms": _median(sale_result["generator_lag_ms"]["p99"] for sale_result in sales),
        "per_s": _median(sale_result["answers_per_s"] for sale_result in sales),
        "cpu_us": _median(sale_result["server"]["cpu_us_per_answer_until_drained"] for sale_result in sales),
        "others_cores": median(sale_result["server"]["others_cores"] for sale_result in sales),
        "passed": all(sale_result["passed"] for sale_result in sales),
    }


def _median(values: Iterable[float]) -> float:
    return round(float(median(values)), 1)


def line(side: dict[str, Any]) -> str:
    """Return one side's cells of the table."""
    spread = f"{side['ratio']:.1f} ({min(side['ratios']):.1f}–{max(side['ratios']):.1f})"
    waits = " | ".join(_waits(side[of]) for of in ("winners_ms", "all_ms"))
    return f"{spread} | {waits} | {side['per_s']:,.0f} | {side['cpu_us']:.0f}"


def _waits(ms: dict[str, float]) -> str:
    return " / ".join(f"{ms[q]:,.0f}" for q in ("p50", "p95", "p99"))


HEAD = "| sale | p99 ÷ p50 of all | winners p50 / p95 / p99 ms | all p50 / p95 / p99 ms | answers/s | CPU |"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown that ``docs/benchmarks.md`` shows."""
    lines = [HEAD, "|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        what = f"{row['units']:,} for {row['buyers']:,}, {row['connections']:,} connections, workers: {row['workers']}"
        lines += [f"| {what}, {side} | {line(row[side])} |" for side in ("before", "after")]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.winners", description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the code to compare with")
    parser.add_argument("--buyers", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--connections", type=int, nargs="*", default=[2000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--winning", type=int, default=10_000, help="buyers of the sale in which every buyer wins; 0: no such sale"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    allow_connections(max([*options.connections, EVERYBODY_WINS]))
    sale_result: dict[str, Any] = {"machine": described(), "wanted_ratio": WANTED, "rows": []}
    plans = [
        {"workers": workers, "connections": connections, "buyers": options.buyers, "units": options.units}
        for workers in options.workers
        for connections in options.connections
    ]
    if options.winning:
        plans.append({"workers": 1, "connections": EVERYBODY_WINS, "buyers": options.winning, "units": options.winning})
    for plan in plans:
        print(plan, file=sys.stderr)
        sale_result["rows"].append(pairs(options.before.resolve(), options.pairs, **plan))
    print(table(sale_result["rows"]), file=sys.stderr)
    write_report(sale_result, options.out)
    return 0 if all(row["after"]["passed"] for row in sale_result["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
