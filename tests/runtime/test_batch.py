"""Calls that arrive together share one run; what goes wrong for one is that one's alone."""

import asyncio
from collections.abc import Sequence

import pytest

from runtime.batch import Batcher
from shop.problem import Unavailable


class Runs:
    """Doubles numbers, and remembers who came together; ``gate`` holds runs up."""

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


async def test_a_caller_that_left_spoils_nobody_s_answer(runs: Runs) -> None:
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


async def test_an_item_that_nobody_waits_for_any_more_is_left_out_where_that_is_asked(runs: Runs) -> None:
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
