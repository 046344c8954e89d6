"""A woken operation acts when work is due, stays awake while more is due soon, and then goes to sleep."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsecart.runtime.wakeups import GATHER_S, QUIET_S, WakeUps, wait_on

START = datetime(2026, 1, 1, tzinfo=UTC)


class Turned:
    """A clock that a wait advances; ``meanwhile`` are called during the waits, in turn."""

    def __init__(self) -> None:
        self.at = START
        self.waits: list[float] = []
        self.meanwhile: list[Callable[[], None]] = []

    def now(self) -> datetime:
        return self.at

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)
        if self.meanwhile and not event.is_set():
            self.meanwhile.pop(0)()
        if not event.is_set():
            self.waits.append(seconds)
            self.at += timedelta(seconds=seconds)


class Due:
    """Holds due work, and the time at which it was done."""

    def __init__(self, clock: Turned, *after_s: float) -> None:
        self.clock = clock
        self.moments = [START + timedelta(seconds=s) for s in after_s]
        self.done_at: list[float] = []
        self.looks = 0

    async def next(self) -> datetime | None:
        self.looks += 1
        await asyncio.sleep(0)
        return min(self.moments, default=None)

    async def act(self) -> None:
        now = self.clock.now()
        due = [moment for moment in self.moments if moment <= now]
        self.moments = [moment for moment in self.moments if moment > now]
        self.done_at += [(now - START).total_seconds()] * len(due)

    def add(self, after_s: float) -> None:
        self.moments.append(START + timedelta(seconds=after_s))


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def wake_ups(clock: Turned) -> WakeUps:
    return WakeUps(clock, clock.wait)


async def test_it_acts_at_the_exact_second_and_leaves_when_nothing_is_due_soon(
    clock: Turned, wake_ups: WakeUps
) -> None:
    due = Due(clock, 12.5, 30, 30, 200)
    await wake_ups.stay_awake("expire", due.next, due.act)
    assert due.done_at == [12.5, 30, 30]
    assert (clock.at - START).total_seconds() == 30
    assert len(due.moments) == 1


async def test_nothing_due_means_leaving_at_once(clock: Turned, wake_ups: WakeUps) -> None:
    due = Due(clock)
    await wake_ups.stay_awake("expire", due.next, due.act)
    assert (due.looks, clock.waits) == (1, [])


async def test_what_is_overdue_is_done_without_a_wait(clock: Turned, wake_ups: WakeUps) -> None:
    due = Due(clock, -5, -1)
    await wake_ups.stay_awake("expire", due.next, due.act)
    assert due.done_at == [0, 0]
    assert clock.waits == []


async def test_a_wake_up_makes_it_look_again_before_the_second_it_waits_for(clock: Turned, wake_ups: WakeUps) -> None:
    due = Due(clock, 50)

    def sooner() -> None:
        due.add(5)
        wake_ups.wake("expire")

    clock.meanwhile.append(sooner)
    await wake_ups.stay_awake("expire", due.next, due.act)
    assert due.done_at == [5, 50]


async def test_a_wake_up_to_a_busy_one_returns_at_once_and_is_not_lost(clock: Turned, wake_ups: WakeUps) -> None:
    due = Due(clock, 10)

    async def late() -> datetime | None:
        found = await due.next()
        if due.looks == 2:  # it has just seen that nothing is left, and is about to leave
            due.add(20)
            await wake_ups.stay_awake("expire", late, due.act)
        return found

    await wake_ups.stay_awake("expire", late, due.act)
    assert due.done_at == [10, 20]


async def test_many_wake_ups_close_together_cost_one_look(clock: Turned, wake_ups: WakeUps) -> None:
    due = Due(clock, 10)

    def wake_often() -> None:
        for _ in range(100):
            wake_ups.wake("expire")

    clock.meanwhile += [wake_often, wake_often]
    await wake_ups.stay_awake("expire", due.next, due.act)
    assert due.looks == 4  # at first, for all the wake-ups, when due, and before sleeping
    assert clock.waits == [GATHER_S, pytest.approx(10 - GATHER_S)]


async def test_what_stays_due_because_another_process_holds_it_is_tried_again_slower_and_slower(
    clock: Turned, wake_ups: WakeUps
) -> None:
    due = Due(clock, 0)
    tries = 0

    async def held_by_another() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            await due.act()

    await wake_ups.stay_awake("settle", due.next, held_by_another)
    assert tries == 3
    assert sum(clock.waits) <= 4


async def test_a_wake_up_starts_a_registered_operation_once_and_again_after_it_left(
    clock: Turned, wake_ups: WakeUps
) -> None:
    due, runs = Due(clock), 0

    async def wake() -> None:
        nonlocal runs
        runs += 1
        await wake_ups.stay_awake("expire", due.next, due.act)

    wake_ups.register("expire", wake)
    due.add(3)
    wake_ups.wake("expire")
    wake_ups.wake("expire")
    await until(lambda: due.done_at == [3] and not wake_ups.awake("expire"))
    assert runs == 1
    due.add(9)
    wake_ups.wake("expire")
    await until(lambda: due.done_at == [3, 9] and not wake_ups.awake("expire"))
    assert runs == 2


async def test_a_failure_is_reported_and_what_is_due_is_done_later(
    clock: Turned, wake_ups: WakeUps, caplog: pytest.LogCaptureFixture
) -> None:
    due, failures = Due(clock, 1), [ConnectionError("PostgreSQL restarts"), ConnectionError("still")]

    async def wake() -> None:
        if failures:
            raise failures.pop()
        await wake_ups.stay_awake("expire", due.next, due.act)

    wake_ups.register("expire", wake)
    wake_ups.wake("expire")
    await until(lambda: not wake_ups.awake("expire"))
    assert len(due.done_at) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


async def test_a_wake_up_no_one_registered_for_is_left_to_the_sweep(wake_ups: WakeUps) -> None:
    wake_ups.wake("webhook-retry")
    assert not wake_ups.awake("webhook-retry")


async def test_closing_sends_everyone_home() -> None:
    class Now:
        def now(self) -> datetime:
            return START

    wake_ups = WakeUps(Now())

    async def in_a_while() -> datetime | None:
        return START + timedelta(seconds=50)

    async def nothing() -> None: ...

    async def wake() -> None:
        await wake_ups.stay_awake("expire", in_a_while, nothing)

    wake_ups.register("expire", wake)
    wake_ups.wake("expire")
    await asyncio.sleep(0)
    await wake_ups.close()
    assert not wake_ups.awake("expire")


async def test_waiting_ends_with_the_event_or_the_time() -> None:
    event = asyncio.Event()
    await wait_on(event, 0.001)
    event.set()
    await wait_on(event, 3600)


@given(st.lists(st.floats(-10, 100), max_size=8), st.lists(st.floats(0, 100), max_size=8))
def test_whatever_is_woken_is_done_when_it_is_due(first: list[float], later: list[float]) -> None:
    clock = Turned()
    wake_ups: WakeUps = WakeUps(clock, clock.wait)
    due = Due(clock, *first)

    def arrives(after_s: float) -> Callable[[], None]:
        def add() -> None:
            due.add(after_s)
            wake_ups.wake("expire")

        return add

    clock.meanwhile += [arrives(after_s) for after_s in later]

    async def play() -> None:
        wake_ups.register("expire", lambda: wake_ups.stay_awake("expire", due.next, due.act))
        wake_ups.wake("expire")
        await until(lambda: not wake_ups.awake("expire"))

    asyncio.run(play())
    now = clock.now()
    assert all((moment - now).total_seconds() > QUIET_S for moment in due.moments)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # every wait here turns the clock, none sleeps
            await asyncio.sleep(0)
