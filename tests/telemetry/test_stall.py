"""The log names the code that blocked the event loop, and an idle process pays nothing for the watch."""

import asyncio
import importlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from queue import Queue

import pytest

from pulsecart.runtime.telemetry import stall
from pulsecart.runtime.telemetry.stall import Stall, StallWatch, current, running

Stalls = Queue[Stall]


@pytest.fixture
def reported() -> Stalls:
    return Queue()


@pytest.fixture
async def watch(reported: Stalls) -> AsyncIterator[StallWatch]:
    watch = StallWatch(asyncio.get_running_loop(), reported.put)
    watch.start()
    yield watch
    watch.stop()


def block(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  # the other side is a thread, with no event to wait for
        await asyncio.sleep(0.01)


async def next_stall(reported: Stalls) -> Stall:
    return await asyncio.to_thread(reported.get, True, 10)


async def test_a_blocking_function_is_reported_with_its_operation_place_and_duration(
    watch: StallWatch, reported: Stalls
) -> None:
    async def handler() -> None:
        with running("webhook-deliver") as _here:
            block(0.4)

    await asyncio.create_task(handler())
    stall = await next_stall(reported)
    assert stall.operation == "webhook-deliver"
    assert stall.where.startswith("tests/telemetry/test_stall.py:")
    assert stall.where.endswith(" block")
    assert stall.ms >= 100
    assert 0 < stall.cpu_ms <= stall.ms


async def test_a_call_that_waits_is_distinguished_from_one_that_computes(watch: StallWatch, reported: Stalls) -> None:
    with running("pay") as _here:
        time.sleep(0.4)  # noqa: ASYNC251  # never allowed on the loop
    stall = await next_stall(reported)
    assert stall.cpu_ms < stall.ms / 4


async def test_of_two_operations_under_way_the_one_that_blocks_is_named(watch: StallWatch, reported: Stalls) -> None:
    release = asyncio.Event()

    async def waits() -> None:
        with running("edge") as _here:
            await release.wait()

    async def blocks() -> None:
        with running("checkout") as _here:
            await asyncio.sleep(0)
            block(0.4)

    waiting = asyncio.create_task(waits())
    await asyncio.create_task(blocks())
    assert (await next_stall(reported)).operation == "checkout"
    release.set()
    await waiting


async def test_an_operations_own_file_names_it_without_anyones_help(
    watch: StallWatch, reported: Stalls, tmp_path: Path
) -> None:
    source = tmp_path / "functions" / "score_order" / "main.py"
    scope: dict[str, Callable[[Callable[[float], None]], Awaitable[None]]] = {}
    exec(compile("async def score(block): block(0.4)", source, "exec"), scope)
    with running("") as _here:
        await scope["score"](block)
    assert (await next_stall(reported)).operation == "score_order"


async def test_a_saturated_loop_blames_no_one(watch: StallWatch, reported: Stalls) -> None:
    async def short() -> None:
        with running("checkout") as _here:
            block(0.002)

    await asyncio.gather(*(short() for _ in range(300)))
    stall = await next_stall(reported)
    assert (stall.operation, stall.where) == ("", "many short steps")


async def test_an_operation_that_is_just_about_to_be_named_does_not_end_the_watch(
    watch: StallWatch, reported: Stalls
) -> None:
    with running("pay") as _here:
        half = running.__new__(running)  # as the other thread sees it while the loop is in its __init__
        block(0.4)
        del half
    assert (await next_stall(reported)).operation == "pay"


@pytest.mark.parametrize(
    "broken",
    ["pulsecart.runtime.telemetry.stall.batched.fold", "pulsecart.runtime.telemetry.stall.StallWatch._queued_ms"],
)
async def test_a_look_that_fails_is_logged_and_the_watch_goes_on(
    broken: str, watch: StallWatch, reported: Stalls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stall, "AFTER_ERROR_S", 0.01)
    with monkeypatch.context() as breaking, caplog.at_level(logging.ERROR):
        breaking.setattr(broken, lambda *_: 1 / 0)
        with running("pay") as _here:
            await until(lambda: "the watch continues" in caplog.text)
    with running("pay") as _here:
        block(0.4)
    assert (await next_stall(reported)).operation == "pay"


async def test_the_watching_thread_rests_without_requests_and_wakes_with_one(
    watch: StallWatch, reported: Stalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "REST_AFTER_S", 0.0)
    with running("checkout"):
        pass
    await until(lambda: watch.resting)
    with running("checkout") as _here:
        block(0.4)
    assert (await next_stall(reported)).operation == "checkout"


async def test_a_stall_is_logged_with_the_operation(caplog: pytest.LogCaptureFixture) -> None:
    watch = StallWatch(asyncio.get_running_loop())
    watch.start()
    with caplog.at_level(logging.WARNING, "pulsecart.runtime.telemetry.stall"), running("pay") as _here:
        block(0.4)
        await until(lambda: bool(caplog.records))
    watch.stop()
    (record,) = caplog.records
    assert vars(record)["operation"] == "pay"
    assert "was blocked for" in record.getMessage()


@pytest.mark.parametrize("starting_s", [60.0, 0.0])
async def test_what_is_loaded_for_its_first_use_or_while_starting_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, starting_s: float
) -> None:
    (tmp_path / "heavy_to_import.py").write_text("import time; time.sleep(0.4)")
    monkeypatch.syspath_prepend(str(tmp_path))
    watch = StallWatch(asyncio.get_running_loop(), starting_s=starting_s)
    watch.start()
    with caplog.at_level(logging.INFO, "pulsecart.runtime.telemetry.stall"), running("pay") as _here:
        while not caplog.records:  # a busy machine may not let the watching thread look in time
            if starting_s:
                block(0.4)
            else:
                sys.modules.pop("heavy_to_import", None)
                importlib.import_module("heavy_to_import")
            await asyncio.sleep(0.05)
    watch.stop()
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_the_operation_is_known_to_what_it_calls_and_forgotten_after() -> None:
    assert current() == ""
    with running("checkout"):
        with running("reserve"):
            assert current() == "reserve"
        assert await asyncio.create_task(asyncio.to_thread(current)) == "checkout"
    assert current() == ""
