"""Restarts processes that end, by the test's clock."""

import subprocess
import sys

import pytest

from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.restarts import GIVE_UP_AFTER, SOON_S, Watch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Mayfly:
    """A child that ends as soon as it is started."""

    name = "mayfly"

    def __init__(self) -> None:
        self.starts = 0
        self.spawn()

    def spawn(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        self.process.wait()
        self.starts += 1


def tend_until_it_gives_up(watch: Watch, clock: Clock, waits: list[float]) -> None:
    while True:
        if wait := watch.tend():
            waits.append(wait)
            clock.now += wait


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_death_is_mended_at_once_and_said(clock: Clock) -> None:
    child, output, changes = Mayfly(), list[str](), list[int]()
    dead = child.process.pid
    watch = Watch([child], output.append, lambda: changes.append(child.process.pid), now=clock)
    watch.tend()
    assert output == [
        f"mayfly (pid {dead}) ended with status 3",
        f"mayfly was restarted (pid {child.process.pid})",
    ]
    assert changes == [child.process.pid]


def test_one_that_keeps_dying_is_started_later_and_later_and_then_given_up(clock: Clock) -> None:
    child, waits = Mayfly(), list[float]()
    watch = Watch([child], lambda sentence: None, lambda: None, now=clock)
    with pytest.raises(CannotStart, match="died 11 times in a row"):
        tend_until_it_gives_up(watch, clock, waits)
    assert child.starts == 1 + GIVE_UP_AFTER
    assert waits == sorted(waits)
    assert sum(waits) > 20.0


def test_one_that_lived_for_a_while_is_started_at_once_however_often_it_died_before(clock: Clock) -> None:
    child = Mayfly()
    watch = Watch([child], lambda sentence: None, lambda: None, now=clock)
    for lives in range(1, 3 * GIVE_UP_AFTER):
        clock.now += SOON_S
        watch.tend()
        assert child.starts == 1 + lives
