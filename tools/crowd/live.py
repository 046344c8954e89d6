"""Shows progress while the sale runs: a redrawn panel on a terminal, a line per second elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text


class Screen:
    """
    Args:
        figures: returns label -> current value, called for each redraw.
        share: returns the completed share, 0 to 1.
    """

    def __init__(self, console: Console, figures: Callable[[], dict[str, str]], share: Callable[[], float]) -> None:
        self._console, self._figures, self._share = console, figures, share
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._redraws = 0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def redraw(self) -> None:
        """Call twice a second: drawing shares the cores with the shop."""
        self._redraws += 1
        if self._live:
            self._live.update(self._panel(), refresh=True)
        elif self._redraws % 2 == 0:
            figures = "  ".join(f"{name} {value}" for name, value in self._figures().items())
            self._console.print(f"{self._share():6.1%}  {figures}", highlight=False)

    def _panel(self) -> Table:
        table = Table.grid(padding=(0, 2))
        done = round(self._share() * 40)
        table.add_row(Text("━" * done, style="green") + Text("━" * (40 - done), style="dim"), f"{self._share():.1%}")
        for name, value in self._figures().items():
            table.add_row(name, value)
        return table
