"""Lists the comparisons: two sides, and the required ratio of their throughputs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from benchmarks import shop, sides
from benchmarks.shop import whole
from benchmarks.sides import PLENTY, Side

Opened = Callable[[], AbstractAsyncContextManager[Side]]


@dataclass(frozen=True, slots=True)
class Contest:
    """``wanted``: A's throughput ÷ B's should be at least this; None if no ratio is required."""

    name: str
    a: Opened
    b: Opened
    wanted: float | None = None


NEWEST = '"1-1"'  # the ETag of the demo's product 1: its first version, and the first sale

_ALL = (
    Contest("raw", sides.raw, sides.hello),
    Contest("sold-out", sides.selling("checkout", stock=0), sides.hello, wanted=1.0),
    Contest("winning", sides.selling("checkout", stock=PLENTY), sides.hello, wanted=0.35),
    Contest("sold-out-naive", sides.selling("checkout", stock=0), sides.selling("naive", stock=0), wanted=3.0),
    Contest("sold-out-whole", whole(stock=0), sides.hello),
    Contest("winning-whole", whole(stock=shop.PLENTY), sides.hello),
    Contest("product", sides.reading(), sides.hello_asked_for_a_product, wanted=0.6),
    Contest("product-unchanged", sides.reading(NEWEST), sides.reading(), wanted=1.0),
    Contest("winning-naive", sides.selling("checkout", stock=PLENTY), sides.selling("naive", stock=PLENTY), wanted=3.0),
)
CONTESTS = {contest.name: contest for contest in _ALL}
