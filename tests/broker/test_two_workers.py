"""Workers share triggers: after one dies another continues, no event is lost, and a key keeps its order."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pulsecart.broker.local import LocalBroker
from pulsecart.runtime.settings import Settings
from tests.broker.conftest import Start
from tests.broker.stage import Listener, Log, event, manifests, trigger
from tests.broker.worker_process import HEARD

ROOT = Path(__file__).resolve().parents[2]


async def holding(count: int, *brokers: LocalBroker) -> None:
    """Wait until each of these dispatches ``count`` triggers."""
    async with asyncio.timeout(20):
        while any(len(broker.status()) != count for broker in brokers):  # noqa: ASYNC110  # dispatch sends no notification
            await asyncio.sleep(0.01)


async def test_workers_share_the_triggers_and_each_event_is_received_once(start: Start, log: Log) -> None:
    here, there = Listener("listener"), Listener("listener")
    triggers = [trigger(name) for name in ("a", "b", "c", "d")]
    first = await start(*triggers, to=[here], worker=0, workers=2)
    await holding(4, first)
    second = await start(*triggers, to=[there], worker=1, workers=2)
    await holding(2, first, second)
    assert first.status().keys() == {"a", "c"}
    await log.write(*[event(str(n)) for n in range(50)])
    await here.until_done(100)
    await there.until_done(100)
    assert len(here.received) + len(there.received) == 200


async def test_an_event_is_kept_for_the_triggers_of_a_worker_that_is_still_starting(start: Start, log: Log) -> None:
    """Fails if not every trigger has a cursor as soon as one worker runs: the other worker would miss the event."""
    here, there = Listener("listener"), Listener("listener")
    first = await start(trigger("a"), trigger("b"), to=[here], worker=0, workers=2)
    assert first.status().keys() <= {"a"}
    await log.write(event("early"))
    await start(trigger("a"), trigger("b"), to=[there], worker=1, workers=2)
    async with asyncio.timeout(20):
        while len(here.done) + len(there.done) < 2:  # noqa: ASYNC110  # two places to look at
            await asyncio.sleep(0.01)


async def test_a_commit_at_one_worker_wakes_the_other(start: Start, log: Log) -> None:
    here, there = Listener("listener"), Listener("listener")
    first = await start(trigger("a"), trigger("b"), to=[here], worker=0, workers=2)
    second = await start(trigger("a"), trigger("b"), to=[there], worker=1, workers=2)
    await holding(1, first, second)
    log.on_commit = first.wake
    took = []
    for n in range(5):
        began = asyncio.get_running_loop().time()
        await log.write(event(str(n)))
        await there.until_done(n + 1)
        took.append(asyncio.get_running_loop().time() - began)
    assert min(took) < 0.5  # the poll alone needs up to a second, and never less than what is left of it


async def test_when_a_workers_connection_is_cut_its_triggers_are_dispatched_on(start: Start, log: Log) -> None:
    a, b = Listener("a"), Listener("b")
    first = await start(trigger("a", "a"), trigger("b", "b"), to=[a, b], worker=0, workers=2)
    second = await start(trigger("a", "a"), trigger("b", "b"), to=[a, b], worker=1, workers=2)
    await holding(1, first, second)
    for at in range(10):
        await log.write(*[event(str(n % 7), at * 20 + n) for n in range(20)])
        await log.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pulsecart-log' LIMIT 1"
        )
    for listener in (a, b):
        await listener.until(lambda listener: len({e.id for e in listener.done}) == 200)
        for key in range(7):
            firsts = list(dict.fromkeys(listener.sequences(str(key))))
            assert firsts == sorted(firsts)


@pytest.fixture
def start_process(settings: Settings, log: Log, tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    directory = manifests(tmp_path / "eventing", trigger("t"))
    environ = {**os.environ, "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    processes: list[subprocess.Popen[str]] = []

    def begin(worker: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.broker.worker_process", str(directory), str(worker), "2"]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


async def test_a_killed_process_is_replaced_by_the_other_and_every_key_stays_in_order(
    start_process: Callable[[int], "subprocess.Popen[str]"], log: Log
) -> None:
    async with log.transaction() as connection:
        await connection.execute(HEARD)
    first, second = start_process(0), start_process(1)
    await log.until("SELECT count(*) FROM trigger_cursors", 1)
    for at in range(0, 400, 10):
        await log.write(*[event(str(n % 5), at + n) for n in range(10)])
        if at in (100, 250):
            victim, worker = (first, 0) if at == 100 else (second, 1)
            os.kill(victim.pid, signal.SIGKILL)
            if at == 100:
                first = start_process(worker)
    await log.until("SELECT count(DISTINCT (key, sequence)) FROM heard", 400, timeout_s=40)
    for key in range(5):
        received = await log.rows("SELECT sequence FROM heard WHERE key = %s ORDER BY at", str(key))
        firsts = list(dict.fromkeys(sequence for (sequence,) in received))
        assert firsts == sorted(firsts)
