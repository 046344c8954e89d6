"""Generates constant load over K keep-alive connections: each sends its next request when it has its answer."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, process_time

from tools.crowd.ask import address
from tools.crowd.ledger import percentiles_ms
from tools.crowd.machine import Meter
from tools.crowd.wire import Answer, Connection, Lines


@dataclass(frozen=True, slots=True)
class Turn:
    """
    Holds the figures of one side's turn.

    Args:
        per_s: answers per second of the clock.
        ms: count, p50, p95, p99, max.
        cpu_us: group of processes → µs of CPU per answer; ``generator`` is ours.
        statuses: answers by status, and lost ones by reason; anything unexpected shows here.
        others_cores: what other programs used meanwhile.
    """

    per_s: float
    ms: Mapping[str, float]
    cpu_us: Mapping[str, float]
    statuses: Mapping[int | str, int]
    others_cores: float


class _Load:
    def __init__(self, request: Callable[[], bytes]) -> None:
        self._request = request
        self._counting = False
        self._ended = False
        self.took: array[float] = array("d")
        self.statuses: Counter[int | str] = Counter()

    def count(self) -> None:
        self._counting = True

    def end(self) -> None:
        self._counting, self._ended = False, True

    def free(self, line: Connection[bool]) -> None:
        if not self._ended:
            line.send(True, self._request())

    def answered(self, line: Connection[bool], purchase: bool, answer: Answer) -> None:
        if self._counting:
            self.took.append(answer.took_s)
            self.statuses[answer.status] += 1

    def lost(self, line: Connection[bool], purchase: bool | None, reason: str) -> None:
        if self._counting:
            self.statuses[reason] += 1


async def turn(
    url: str,
    request: Callable[[], bytes],
    processes: Mapping[str, list[int]],
    *,
    connections: int,
    seconds: float,
    warm_s: float,
) -> Turn:
    """
    Args:
        request: makes the bytes of the next request.
        processes: the server's, whose CPU is read before and after.
        seconds: what is counted; ``warm_s`` before it is not.
    """
    load = _Load(request)
    lines: Lines[bool] = Lines(*address(url), connections, load)
    await lines.open()
    await asyncio.sleep(warm_s)
    meter, cpu, began = Meter(processes), process_time(), monotonic()
    load.count()
    await asyncio.sleep(seconds)
    load.end()
    elapsed, others = monotonic() - began, meter.others_cores()
    used = {**meter.cpu_s(), "generator": process_time() - cpu}
    await asyncio.sleep(0.5)  # what is under way may end; nothing of it is counted
    lines.close()
    answers = max(len(load.took), 1)
    cpu_us = {name: s / answers * 1e6 for name, s in used.items()}
    return Turn(len(load.took) / elapsed, percentiles_ms(load.took), cpu_us, dict(load.statuses), others)
