"""Plays a few rounds of kill -9 in every test run; ``python -m tests.faults.rounds`` plays fifty."""

from pathlib import Path
from secrets import randbelow

import pytest

from tests.faults.rounds import Round, run

SMALL = {"buyers": 200, "units": 70}
pytestmark = pytest.mark.timeout(300)


def assert_clean(played: list[Round], rounds: int) -> None:
    assert [row for reported in played for row in reported.findings] == []
    assert len(played) == rounds


def test_nothing_is_lost_whichever_process_is_killed_during_a_sale(tmp_path: Path) -> None:
    victims = ("host", "postgres", "a backend", "redis", "redis emptied")
    assert_clean(run(5, randbelow(2**32), tmp_path / "shop", 1, victims, print, **SMALL), 5)


def test_the_next_start_finds_everything_after_the_supervisor_or_all_at_once_were_killed(tmp_path: Path) -> None:
    victims = ("supervisor", "everything")
    assert_clean(run(2, randbelow(2**32), tmp_path / "shop", 1, victims, print, **SMALL), 2)


def test_of_two_workers_the_other_one_goes_on(tmp_path: Path) -> None:
    assert_clean(run(1, randbelow(2**32), tmp_path / "shop", 2, ("host",), print, **SMALL), 1)
