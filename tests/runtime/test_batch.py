"""Calls that arrive together share one run; an error that belongs to one call reaches that caller alone."""

import asyncio
from collections.abc import Sequence

import pytest

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.problem import Exhausted, Unavailable
from pulsecart.runtime.redis_error import RedisAway
from pulsecart.runtime.redis_error import RedisRejected as RedisRefusal


class Runs:
    """Doubles numbers, and records the items of each run; ``gate`` delays runs."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.most_at_once = 0

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if -1 in items:
            raise OSError("this run failed")
        return [ValueError("not zero") if item == 0 else item * 2 for item in items]


@pytest.fixture
def runs() -> Runs:
    return Runs()


async def test_calls_of_one_turn_share_one_run_and_each_gets_its_own_answer(runs: Runs) -> None:
    batcher = Batcher(runs)
    assert await asyncio.gather(*(batcher.submit(n) for n in range(1, 9))) == [n * 2 for n in range(1, 9)]
    assert runs.batches == [list(range(1, 9))]


async def test_who_comes_while_a_run_is_under_way_is_in_the_next_one(runs: Runs) -> None:
    batcher = Batcher(runs)
    runs.gate.clear()
    first = batcher.submit(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [batcher.submit(n) for n in (2, 3, 4)]
    assert batcher.waiting == 3
    runs.gate.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert runs.batches == [[1], [2, 3, 4]]


async def test_a_run_has_at_most_its_size_and_no_more_are_under_way_than_allowed(runs: Runs) -> None:
    batcher = Batcher(runs, size_max=3, parallel=2)
    assert await asyncio.gather(*(batcher.submit(n) for n in range(1, 20))) == [n * 2 for n in range(1, 20)]
    assert max(len(batch) for batch in runs.batches) == 3
    assert [n for batch in runs.batches for n in batch] == list(range(1, 20))
    assert runs.most_at_once <= 2


async def test_an_exception_in_an_answer_s_place_is_its_caller_s_alone(runs: Runs) -> None:
    batcher = Batcher(runs)
    one, bad, other = await asyncio.gather(*(batcher.submit(n) for n in (1, 0, 3)), return_exceptions=True)
    assert (one, other) == (2, 6)
    assert isinstance(bad, ValueError)


async def test_a_run_that_fails_fails_its_own_and_not_the_next(runs: Runs) -> None:
    batcher = Batcher(runs, size_max=2)
    answers = await asyncio.gather(*(batcher.submit(n) for n in (1, -1, 3, 4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError, int, int]


async def test_a_caller_that_left_spoils_no_one_s_answer(runs: Runs) -> None:
    batcher = Batcher(runs)
    left, stays = batcher.submit(1), batcher.submit(2)
    left.cancel()
    assert await stays == 4


async def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room(runs: Runs) -> None:
    batcher = Batcher(runs, queue_max=3)
    runs.gate.clear()
    waiting = [batcher.submit(n) for n in (1, 2, 3)]
    with pytest.raises(Unavailable) as refused:
        batcher.submit(4)
    assert refused.value.retry_after_s >= 1
    runs.gate.set()
    assert await asyncio.gather(*waiting) == [2, 4, 6]
    assert await batcher.submit(4) == 8


async def test_an_item_that_no_one_waits_for_any_more_is_left_out_where_that_is_asked(runs: Runs) -> None:
    batcher, thorough = Batcher(runs, drop_abandoned=True), Batcher(runs)
    for each in (batcher, thorough):
        left, waited = each.submit(1), each.submit(2)
        left.cancel()
        assert await waited == 4
    assert runs.batches == [[2], [1, 2]]


async def test_a_run_of_nothing_but_abandoned_items_does_not_happen(runs: Runs) -> None:
    batcher = Batcher(runs, drop_abandoned=True)
    batcher.submit(1).cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await batcher.submit(3) == 6
    assert runs.batches == [[3]]


class Table:
    """Rejects whole runs that hold an item of ``bad``, as a database does; a rejected run has no effect."""

    def __init__(self, bad: set[int], error: Exception | None = None) -> None:
        self.bad = bad
        self.error = error or ValueError("cannot be stored")
        self.runs: list[list[int]] = []
        self.kept: list[int] = []

    async def __call__(self, items: list[int]) -> Sequence[int]:
        self.runs.append(items)
        await asyncio.sleep(0)
        if self.bad & set(items):
            raise self.error
        self.kept += items
        return items


async def outcomes(batcher: Batcher[int, int], items: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*map(batcher.submit, items), return_exceptions=True)


@pytest.mark.parametrize("bad", [{0}, {251}, {100, 101}, set(range(0, 252, 21)), set(range(252)), set(range(1, 252))])
async def test_anyone_who_spoils_a_run_fails_alone_and_every_other_is_done_once(bad: set[int]) -> None:
    table = Table(bad)
    found = await outcomes(Batcher(table), range(252))
    assert {n for n, outcome in enumerate(found) if outcome is table.error} == bad
    assert [outcome for outcome in found if isinstance(outcome, int)] == sorted(table.kept)
    assert len(table.kept) == len(set(table.kept)) == 252 - len(bad)
    assert len(table.runs) <= 2 * 252 - 1


async def test_one_of_many_is_found_in_few_runs() -> None:
    table = Table({77})
    await outcomes(Batcher(table), range(256))
    assert len(table.runs) <= 1 + 2 * 8


@pytest.mark.parametrize(
    "error",
    [Unavailable("outcome-unknown", "It may have committed."), ConnectionResetError(), TimeoutError(), RedisAway()],
    ids=lambda error: type(error).__name__,
)
async def test_what_says_that_something_is_away_is_reported_to_all_and_nothing_is_done_again(error: Exception) -> None:
    table = Table({7}, error)
    assert set(await outcomes(Batcher(table), range(20))) == {error}
    assert len(table.runs) == 1


@pytest.mark.parametrize("error", [RedisRefusal("ERR Invalid stream ID"), Exhausted("database-exhausted", "Too much.")])
async def test_a_command_that_was_refused_and_one_that_was_too_much_may_be_one_caller_s_fault(error: Exception) -> None:
    table = Table({7}, error)
    found = await outcomes(Batcher(table), range(20))
    assert [n for n, outcome in enumerate(found) if outcome is error] == [7]


async def test_when_the_database_goes_while_members_are_tried_apart_the_rest_is_reported_at_once() -> None:
    away = Unavailable("database-unavailable", "Try again shortly.")

    async def run(items: list[int]) -> Sequence[int]:
        if len(items) == 1:
            raise away
        raise ValueError("one of these")

    assert (await outcomes(Batcher(run), range(64))) == [away] * 64


async def test_who_left_while_members_are_tried_apart_is_left_out_where_that_is_asked() -> None:
    table = Table({1})
    batcher = Batcher(table, drop_abandoned=True)
    waiting = [batcher.submit(n) for n in range(4)]
    while not table.runs:  # noqa: ASYNC110  # the run that fails is under way
        await asyncio.sleep(0)
    waiting[3].cancel()
    found = await asyncio.gather(*waiting[:3], return_exceptions=True)
    assert (found[0], found[2]) == (0, 2)
    assert table.kept == [0, 2]


async def test_answers_that_do_not_fit_the_questions_are_an_error_and_no_one_waits_for_ever() -> None:
    async def forgets(items: list[int]) -> Sequence[int]:
        return items[1:]

    found = await outcomes(Batcher(forgets), range(3))
    assert all(isinstance(outcome, RuntimeError) for outcome in found)
