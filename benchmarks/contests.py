"""What is compared with what, and what is wanted of it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from benchmarks import sides
from benchmarks.sides import Side

Opened = Callable[[], AbstractAsyncContextManager[Side]]


@dataclass(frozen=True, slots=True)
class Contest:
    """``wanted``: A's throughput ÷ B's should be at least this; None where nothing is asked."""

    name: str
    a: Opened
    b: Opened
    wanted: float | None = None


CONTESTS = {contest.name: contest for contest in (Contest("raw", sides.raw, sides.hello),)}
