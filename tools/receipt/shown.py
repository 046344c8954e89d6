"""Renders the receipt as a table, and the pods over time as a picture."""

import time
from collections.abc import Iterator, Sequence
from html import escape

from rich import box
from rich.table import Table

from tools.receipt.lives import Life, lives, window
from tools.receipt.observed import Observation
from tools.receipt.receipt import Line, Receipt

LEFT, RIGHT, TOP, ROW, BAR, WIDTH = 130, 20, 46, 26, 16, 1100  # pixels of the SVG
STARTING, WORKING, LEAVING = "#f0a030", "#2f6fde", "#c9d6ee"
COLUMNS = ("cold", "p50 s", "p95 s", "pods", "at once", "pod-s", "leaving", "at zero", "requests", "events")
TICKS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


def table(receipt: Receipt) -> Table:
    """Return a table with one line per operation and their total."""
    made = Table(title=_title(receipt), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("operation", no_wrap=True)
    for name in COLUMNS:
        made.add_column(name, justify="right", no_wrap=True)
    for line in receipt.lines:
        made.add_row(line.operation, *_cells(line))
    made.add_section()
    made.add_row("all", *_cells(receipt.all))
    return made


def _title(receipt: Receipt) -> str:
    note = "" if receipt.exact else "; times of the cluster, in whole seconds"
    return f"{_clock(receipt.since)} to {_clock(receipt.until)}, {receipt.until - receipt.since:.0f} s{note}"


def _cells(line: Line) -> list[str]:
    return [
        str(line.cold_starts),
        _seconds(line.start_p50_s),
        _seconds(line.start_p95_s),
        str(line.pods),
        str(line.most_pods),
        f"{line.pod_s:,.0f}",
        f"{line.leaving_s:,.0f}",
        f"{line.at_zero:.1%}",
        _count(line.requests),
        _count(line.events),
    ]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def svg(observations: Sequence[Observation], operations: Sequence[str] = ()) -> str:
    """Return an SVG with one row per operation and one bar per pod: starting, busy, leaving."""
    since, until = window(observations)
    seen = [life for life in lives(observations) if life.within(since, until) > 0]
    names = sorted({*operations, *(life.operation for life in seen)})
    scale = (WIDTH - LEFT - RIGHT) / max(until - since, 1e-9)
    height = TOP + ROW * len(names) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(12, 22, f"Pods from {_clock(since)} to {_clock(until)}", size=14),
        *_legend(),
    ]
    ground = TOP + ROW * len(names)
    step = next((s for s in TICKS_S if (until - since) / s <= 12), TICKS_S[-1])
    for n in range(int((until - since) / step) + 1):
        x = LEFT + n * step * scale
        parts.append(f'<path d="M{x:.1f} {TOP}V{ground}" stroke="#e4e4e4"/>')
        parts.append(_text(x, ground + 16, f"{n * step} s", anchor="middle"))
    for index, name in enumerate(names):
        top = TOP + index * ROW
        parts.append(_text(LEFT - 8, top + ROW / 2 + 4, name, anchor="end", size=12))
        its = [life for life in seen if life.operation == name]
        for lane, life in _lanes(its):
            high = BAR / max(1, 1 + max(lane for lane, _ in _lanes(its)))
            y = top + (ROW - BAR) / 2 + lane * high
            parts += _bar(life, y, high, since, until, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _lanes(its: Sequence[Life]) -> list[tuple[int, Life]]:
    """Assign each pod the first lane that is free at its creation."""
    free: list[float] = []
    found = []
    for life in its:
        ends = life.gone or float("inf")
        lane = next((n for n, at in enumerate(free) if at <= life.created), len(free))
        free[lane : lane + 1] = [ends]
        found.append((lane, life))
    return found


def _bar(life: Life, y: float, high: float, since: float, until: float, scale: float) -> Iterator[str]:
    ends = min(life.gone or until, until)
    leaves = min(life.leaving or ends, ends)
    ready = min(life.ready or leaves, leaves)
    began = max(life.created, since)
    tooltip = f"{life.pod}: ready after {life.start_s:.2f} s" if life.start_s is not None else life.pod
    for colour, a, b in ((STARTING, began, ready), (WORKING, ready, leaves), (LEAVING, leaves, ends)):
        a = max(a, since)
        if b > a:
            at, wide = LEFT + (a - since) * scale, (b - a) * scale
            place = f'x="{at:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
            yield f'<rect {place} fill="{colour}"><title>{escape(tooltip)}</title></rect>'


def _legend() -> Iterator[str]:
    for n, (colour, word) in enumerate(((STARTING, "starting"), (WORKING, "busy"), (LEAVING, "leaving"))):
        x = WIDTH - 300 + n * 96
        yield f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 17, 22, word)


def _text(x: float, y: float, words: str, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
