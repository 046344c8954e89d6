"""Draws the histogram of the waiting times, for a terminal and as an SVG file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from math import floor, log2

STEPS_PER_OCTAVE = 2
BAR = "█"
PARTS = " ▏▎▍▌▋▊▉"
MARGIN, STEP, BAR_WIDTH, ROW = 20, 40, 34, 150  # pixels of the SVG


def histogram(took_s: Iterable[float]) -> list[tuple[float, int]]:
    """Return (upper edge in ms, count), two buckets per doubling, from the first non-empty bucket to the last."""
    counts: dict[int, int] = {}
    for t in took_s:
        bucket = floor(log2(max(t * 1000, 0.01)) * STEPS_PER_OCTAVE) + 1
        counts[bucket] = counts.get(bucket, 0) + 1
    if not counts:
        return []
    return [(2 ** (b / STEPS_PER_OCTAVE), counts.get(b, 0)) for b in range(min(counts), max(counts) + 1)]


def in_terminal(buckets: Sequence[tuple[float, int]], width: int = 50) -> str:
    """Draw one line per bucket."""
    most = max((n for _, n in buckets), default=1)
    lines = []
    for edge_ms, n in buckets:
        eighths = round(n / most * width * 8)
        bar = BAR * (eighths // 8) + PARTS[eighths % 8].strip()
        lines.append(f"≤ {_ms(edge_ms):>8} {bar or ('▏' if n else '')} {n:,}")
    return "\n".join(lines)


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.3g} ms"


def svg(title: str, series: Mapping[str, Sequence[tuple[float, int]]]) -> str:
    """
    Draw one row of bars per named series over a common time axis, each row scaled to its own highest bar.

    Args:
        title: plain text above the rows.
    """
    edges = sorted({edge for buckets in series.values() for edge, _ in buckets})
    left_of = {edge: MARGIN + i * STEP for i, edge in enumerate(edges)}
    width, height = 2 * MARGIN + STEP * max(len(edges), 12), 50 + ROW * len(series) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(MARGIN, 24, title, size=14, anchor="start"),
    ]
    for index, (name, buckets) in enumerate(series.items()):
        ground = 40 + ROW * (index + 1)
        parts += [_text(MARGIN, ground - ROW + 26, name, size=11, anchor="start"), *_bars(buckets, left_of, ground)]
        parts.append(f'<path d="M{MARGIN} {ground}H{width - MARGIN}" stroke="#999"/>')
    parts += [_text(x + BAR_WIDTH / 2, height - 18, f"≤{_ms(edge)}") for edge, x in left_of.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(buckets: Sequence[tuple[float, int]], left_of: Mapping[float, int], ground: int) -> Iterator[str]:
    most = max((n for _, n in buckets), default=1)
    for edge, n in buckets:
        if n:
            x, high = left_of[edge], max(1.0, n / most * (ROW - 50))
            yield f'<rect x="{x}" y="{ground - high:.1f}" width="{BAR_WIDTH}" height="{high:.1f}" fill="#2f6fde"/>'
            yield _text(x + BAR_WIDTH / 2, ground - high - 3, f"{n:,}")


def _text(x: float, y: float, words: str, size: int = 8, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
