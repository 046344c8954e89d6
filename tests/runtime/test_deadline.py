"""One timer serves many equal deadlines: each ends only its own task, in time."""

import asyncio
import time

import pytest

from pulsecart.runtime.deadline import Deadline

SOON, LATER = 0.05, 3600.0


async def for_ever() -> None:
    await asyncio.Event().wait()


async def bounded(deadline: Deadline, work: "asyncio.Future[str] | asyncio.Task[str]") -> str:
    with deadline.limit():
        return await work


async def test_what_takes_too_long_is_a_timeout_and_what_does_not_is_its_result() -> None:
    deadline = Deadline(SOON)
    quick: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hung: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    turns = [asyncio.create_task(bounded(deadline, work)) for work in (hung, quick, hung)]
    await asyncio.sleep(0)
    quick.set_result("done")
    answers = await asyncio.gather(*turns, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError, str, TimeoutError]


async def test_no_turn_ends_before_its_time_though_an_earlier_one_did() -> None:
    deadline = Deadline(SOON)
    began = []
    ended = []

    async def turn() -> None:
        began.append(time.monotonic())
        try:
            with deadline.limit():
                await for_ever()
        except TimeoutError:
            ended.append(time.monotonic())

    first = asyncio.create_task(turn())
    await asyncio.sleep(SOON / 2)
    second = asyncio.create_task(turn())
    await asyncio.gather(first, second)
    assert all(after - before >= SOON * 0.99 for before, after in zip(began, ended, strict=True))


async def test_who_asks_for_less_gets_less_and_who_asks_for_more_gets_everyone_s() -> None:
    deadline = Deadline(LATER)
    with pytest.raises(TimeoutError), deadline.limit(SOON):
        await for_ever()
    assert not deadline._limits
    in_time = deadline.limit(LATER / 2)
    with in_time:
        pass
    assert in_time.timer is not None
    assert in_time.timer.cancelled()
    with pytest.raises(TimeoutError), Deadline(SOON).limit(LATER):
        await for_ever()


async def test_those_that_are_over_are_forgotten() -> None:
    deadline = Deadline(LATER)
    for _ in range(1000):
        with deadline.limit():
            pass
    assert len(deadline._limits) == 1


async def test_one_that_lasts_keeps_what_came_after_it_and_no_longer() -> None:
    deadline = Deadline(LATER)
    held: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    lasting = asyncio.create_task(bounded(deadline, held))
    await asyncio.sleep(0)
    for _ in range(100):
        with deadline.limit():
            pass
    held.set_result("done")
    await lasting
    with deadline.limit():
        pass
    assert len(deadline._limits) == 1


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadline = Deadline(LATER)
    task = asyncio.create_task(bounded(deadline, asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_are_the_cancellation() -> None:
    """A task that was also cancelled from outside ends as cancelled, as with asyncio.timeout."""
    deadline = Deadline(SOON)
    stopped = asyncio.Event()

    async def stubborn() -> None:
        with deadline.limit():
            try:
                await for_ever()
            except asyncio.CancelledError:
                task.cancel()
                stopped.set()
                raise

    task = asyncio.create_task(stubborn())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_an_error_of_its_own_passes() -> None:
    with pytest.raises(ValueError, match="mine"), Deadline(LATER).limit():
        raise ValueError("mine")


async def test_a_task_goes_on_after_its_timeout() -> None:
    deadline = Deadline(SOON)
    with pytest.raises(TimeoutError), deadline.limit():
        await for_ever()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
