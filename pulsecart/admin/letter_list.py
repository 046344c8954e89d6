"""Formats dead letters as a list that fits a terminal of 80 columns."""

import shutil
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

from pulsecart.broker.dead_letters.desk import Letter
from pulsecart.runtime.printable import printable

WIDTH, WIDTH_MAX = 80, 160
INDENT = 8
REASON_LINES = 2


def listed(letters: Sequence[Letter], total: int, state: str) -> str:
    """
    Format each letter in three or more lines: id, time, Trigger, status; the event's type and id; the reason's start.

    Args:
        total: the number of matching dead letters, of which ``letters`` are the first.
    """
    width = max(40, min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH_MAX))
    what = "dead letters" if state == "all" else f"{state} dead letters"
    head = f"{total:,} {what}" + (f", the oldest {len(letters)}" if total > len(letters) else "")
    lines = [head, *(line for item in letters for line in _lines(item, width))]
    if total > len(letters):
        lines.append("`--limit 0` shows all; `--trigger` and `--cause` choose some.")
    lines.append("`show ID` has the whole reason and the event.")
    return "\n".join(lines) + "\n"


def _lines(item: Letter, width: int) -> list[str]:
    status = f"status {item.error_code}" if item.error_code else "no status"
    state = "" if item.state == "open" else f"  {item.state}"
    first = f"{item.id:>{INDENT - 2}}  {item.received_at:%Y-%m-%d %H:%M:%S}  {item.trigger}  {status}{state}"
    lines = [_fitting(first, width), _indented(f"{item.type}  {item.event_id}", width)]
    lines += _reason(item.error_data or "no reason was given", width)
    if item.discarded_at:
        by = f"{item.discarded_at:%Y-%m-%d %H:%M} by {item.discarded_by}: {item.discarded_why}"
        lines.append(_indented(f"discarded {by}", width))
    return lines


def _reason(text: str, width: int) -> list[str]:
    lines = chop_cells(printable(text[: width * REASON_LINES]), width - INDENT)
    if len(lines) > REASON_LINES or len(text) > width * REASON_LINES:
        lines = [*lines[: REASON_LINES - 1], _fitting(lines[REASON_LINES - 1] + "…", width - INDENT)]
    return [" " * INDENT + line for line in lines]


def _indented(text: str, width: int) -> str:
    return " " * INDENT + _fitting(text, width - INDENT)


def _fitting(text: str, width: int) -> str:
    """Shorten the text to ``width`` columns; some characters take two."""
    text = printable(text)
    return text if cell_len(text) <= width else chop_cells(text, width - 1)[0] + "…"
