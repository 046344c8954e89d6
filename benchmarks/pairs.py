"""
Compares two sides in one run on one machine: A B A B …, medians of at least five pairs.

    scripts/python -m benchmarks.pairs [CONTEST …] [--connections 64 500 2000] [--pairs 5] [--out FILE.json]
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks.comparisons import CONTESTS, Contest
from benchmarks.load import Turn, turn
from benchmarks.machine import described
from benchmarks.sides import Side
from tools.crowd.__main__ import allow_connections
from tools.crowd.machine import busy_s

TOLERATED = 0.001  # share of other answers than the expected one


class Spoiled(Exception):
    """A side gave other answers than it should, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Holds the seconds counted per turn, the seconds before that are not, and the turns of each side.

    Args:
        others_max: a pair in which other programs used more cores than this is played again,
        repeats_max: as often as this.
    """

    seconds: float
    warm_s: float
    pairs: int
    others_max: float = 0.3
    repeats_max: int = 0


async def compete(contest: Contest, connections: Sequence[int], pace: Pace) -> list[dict[str, Any]]:
    """
    Return one row per number of connections; both sides stay up throughout and take turns.

    Raises:
        Spoiled: a side answered something else than it should.
    """
    rows = []
    async with contest.a() as a, contest.b() as b:
        for count in connections:
            pairs: list[tuple[Turn, Turn]] = []
            disturbed = 0
            while len(pairs) < pace.pairs:
                if disturbed < pace.repeats_max:
                    await _wait_for_quiet(pace.others_max)
                pair = await _take_turn(a, count, pace), await _take_turn(b, count, pace)
                quiet = max(taken.others_cores for taken in pair) <= pace.others_max
                rates = ", ".join(f"{s.name} {t.per_s:,.0f}/s" for s, t in zip((a, b), pair, strict=True))
                _say(f"  {rates}" + ("" if quiet else f" (disturbed: {max(t.others_cores for t in pair):.1f} cores)"))
                if quiet or disturbed >= pace.repeats_max:
                    pairs.append(pair)
                else:
                    disturbed += 1
            rows.append(row(contest, count, (a, b), pairs) | {"repeated": disturbed})
            _say(line_of(rows[-1]))
    return rows


async def _wait_for_quiet(others_max: float) -> None:
    """Wait until the machine has been quiet for a second, for a minute at most."""
    for _ in range(60):
        before = busy_s()
        await asyncio.sleep(1)
        if busy_s() - before <= others_max:
            return


async def _take_turn(side: Side, connections: int, pace: Pace) -> Turn:
    await side.before()
    gc.collect()
    taken = await turn(
        side.url, side.request, side.processes, connections=connections, seconds=pace.seconds, warm_s=pace.warm_s
    )
    await side.after()
    others = {status: n for status, n in taken.statuses.items() if status != side.expected}
    if sum(others.values()) > TOLERATED * sum(taken.statuses.values()) or not taken.statuses:
        raise Spoiled(f"{side.name} should answer only {side.expected}, but answered {taken.statuses}")
    return taken


def row(contest: Contest, connections: int, sides: tuple[Side, Side], pairs: list[tuple[Turn, Turn]]) -> dict[str, Any]:
    """Return the figures; ``ratios`` are A's throughput ÷ B's, pair by pair; the others are medians over the turns."""
    ratios = [a.per_s / b.per_s for a, b in pairs]
    return {
        "contest": contest.name,
        "connections": connections,
        "pairs": len(pairs),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "wanted": contest.wanted,
        "a": medians(sides[0], [a for a, _ in pairs]),
        "b": medians(sides[1], [b for _, b in pairs]),
    }


def medians(side: Side, turns: list[Turn]) -> dict[str, Any]:
    ms = {name: round(median(t.ms[name] for t in turns), 2) for name in ("p50", "p95", "p99", "max")}
    cpu = {name: round(median(t.cpu_us[name] for t in turns), 1) for name in turns[0].cpu_us}
    others = round(median(t.others_cores for t in turns), 2)
    per_s = round(median(t.per_s for t in turns), 1)
    return {"name": side.name, "per_s": per_s, "ms": ms, "cpu_us": cpu, "others_cores": others}


SIDE = "answers/s, p50 / p95 ms | CPU µs each"
HEAD = f"| A ÷ B | connections | ratio (spread) | A: {SIDE} | B: {SIDE} |"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown that ``docs/benchmarks.md`` shows."""
    return "\n".join([HEAD, "|---|---|---|---|---|---|---|", *map(line_of, rows)]) + "\n"


def line_of(row: dict[str, Any]) -> str:
    spread = f"{row['ratio']:.2f} ({min(row['ratios']):.2f}–{max(row['ratios']):.2f})"
    sides = " | ".join(_side(row[side]) for side in "ab")
    return f"| {row['a']['name']} ÷ {row['b']['name']} | {row['connections']:,} | {spread} | {sides} |"


def _side(measured: dict[str, Any]) -> str:
    cpu = ", ".join(f"{name} {us:.0f}" for name, us in measured["cpu_us"].items() if name != "generator")
    return f"{measured['per_s']:,.0f}, {measured['ms']['p50']:.1f} / {measured['ms']['p95']:.1f} | {cpu}"


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.pairs", description=__doc__)
    parser.add_argument("contests", nargs="*", metavar="CONTEST", help=f"of {', '.join(CONTESTS)}; default: all")
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 500, 2000])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument(
        "--others", type=float, default=0.3, help="repeat a pair when other programs use more cores than this"
    )
    parser.add_argument("--repeats", type=int, default=0, help="the most repetitions; 0: repeat no pair")
    parser.add_argument("--out", type=Path, help="write the rows as JSON, and as a Markdown table beside it")
    options = parser.parse_args()
    allow_connections(max(options.connections))
    result: dict[str, Any] = {"machine": described(), "rows": []}
    pace = Pace(options.seconds, options.warm, options.pairs, options.others, options.repeats)
    for name in options.contests or CONTESTS:
        gc.disable()
        result["rows"] += uvloop.run(compete(CONTESTS[name], options.connections, pace))
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(table(result["rows"]))
    print(table(result["rows"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
