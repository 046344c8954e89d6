"""Detects event loop stalls and reports the blocking operation, the code location and the duration."""

import asyncio
import logging
import sys
import threading
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from pulsecart.runtime.telemetry import batched, metrics

log = logging.getLogger(__name__)
STALL_MS = 100.0
LOOK_EVERY_S = 0.05
REST_AFTER_S = 30.0  # an operation's deadline: this long after the last request began, the thread sleeps
FOLD_EVERY_S = 1.0
AFTER_ERROR_S = 1.0

_operation: ContextVar[str] = ContextVar("operation", default="")
_wake = threading.Event()


class _Seen:
    """Holds ``lately``, set by the first request after a check, cleared by each check: the hot path reads one flag."""

    lately = True
    asleep = False


def current() -> str:
    """Return the name of the running operation; empty outside of any."""
    return _operation.get()


class running:
    """
    Marks the code that an operation runs for one request or event: ``with running(operation) as _here:``.

    It adds the operation to logs and keeps the watching thread awake (a third of a microsecond). The watching thread
    finds the local variable on the loop's stack and names the operation in a stall; no state is kept per task.
    """

    __slots__ = ("_token", "operation")

    _token: Token[str]

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __enter__(self) -> Self:
        self._token = _operation.set(self.operation)
        if not _Seen.lately:
            _Seen.lately = True
            if _Seen.asleep:
                _wake.set()
        return self

    def __exit__(self, *_: object) -> None:
        _operation.reset(self._token)


@dataclass(frozen=True, slots=True)
class Stall:
    """
    Describes one stall of the event loop.

    Args:
        operation: the running operation; empty if no single operation blocked the loop.
        where: file, line and function.
        ms: duration of the stall.
        cpu_ms: CPU time of the loop's thread in it; the rest was waiting for a blocking call or a free processor.
        queued_ms: time in it that the thread waited for a free processor, if the system reports it (Linux).
        expected: a module was being imported at its first use, or the process is starting.
    """

    operation: str
    where: str
    ms: float
    cpu_ms: float
    queued_ms: float = 0.0
    expected: bool = False


class StallWatch:
    """
    Watches one event loop from a thread that is awake only while requests arrive.

    Args:
        loop: the running loop; pinged every LOOK_EVERY_S while the thread is awake.
        report: called once per stall, from the watching thread.
        starting_s: time from now in which stalls are expected, because modules are used for the first time.
    """

    def __init__(
        self, loop: AbstractEventLoop, report: "Callable[[Stall], None] | None" = None, starting_s: float = 0.0
    ) -> None:
        self._started_at = time.monotonic() + starting_s
        self._loop = loop
        self._report = report or _log
        self._loop_thread = threading.get_ident()
        self._cpu_clock = time.pthread_getcpuclockid(self._loop_thread)
        self._schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._answered = threading.Event()
        self._stopped = False
        self._quiet_since = self._folded_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)

    def start(self) -> None:
        """Start watching; call it on the loop's own thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for at most one check."""
        self._stopped = True
        _wake.set()
        self._thread.join()

    @property
    def resting(self) -> bool:
        """Return whether the thread sleeps until the next request."""
        return _Seen.asleep

    def _watch(self) -> None:
        self._quiet_since, self._folded_at = time.monotonic(), 0.0
        while not self._stopped:
            try:
                self._step()
            except Exception:  # the thread is never restarted: without it no stall is detected
                log.exception("one check of the event loop failed; the watch continues")
                time.sleep(AFTER_ERROR_S)

    def _step(self) -> None:
        now = time.monotonic()
        if _Seen.lately:
            _Seen.lately, self._quiet_since = False, now
        elif now - self._quiet_since > REST_AFTER_S:
            self._rest()
            return
        if now - self._folded_at > FOLD_EVERY_S:
            batched.fold()  # so that a scrape of another worker includes this worker's metrics
            self._folded_at = now
        self._look()
        time.sleep(LOOK_EVERY_S)

    def _rest(self) -> None:
        batched.fold()
        _wake.clear()
        _Seen.asleep = True
        if not (_Seen.lately or self._stopped):  # else: a request arrived before ``asleep`` was set
            _wake.wait()
        _Seen.asleep = False

    def _look(self) -> None:
        asked_at, computed, queued = time.monotonic(), time.clock_gettime(self._cpu_clock), self._queued_ms()
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:  # the loop is closed
            self._stopped = True
            return
        half = STALL_MS / 2000
        if self._answered.wait(half):
            return
        first = self._held_by()
        if self._answered.wait(half):
            return
        task, operation, where = self._held_by()
        expected = asked_at < self._started_at or _loads(sys._current_frames().get(self._loop_thread))
        while not self._answered.wait(LOOK_EVERY_S) and not self._stopped:
            pass
        if task is not first[0]:
            operation, where = "", "many short steps"  # busy, not blocked: no single task caused it
        ms, cpu_ms = (time.monotonic() - asked_at) * 1000, (time.clock_gettime(self._cpu_clock) - computed) * 1000
        self._report(Stall(operation, where, ms, cpu_ms, self._queued_ms() - queued, expected))

    def _queued_ms(self) -> float:
        """Return how long the loop's thread has waited for a free processor so far; 0 if the system does not report."""
        try:
            return int(self._schedule.read_bytes().split()[1]) / 1e6
        except (OSError, ValueError, IndexError):
            return 0.0

    def _held_by(self) -> "tuple[Task[Any] | None, str, str]":
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._loop_thread)
        return task, _named_in(frame), _place(frame)


def _log(stall: Stall) -> None:
    name = stall.operation or "unknown"
    metrics.LOOP_STALLS.of(name).add(stall.ms)
    extra = {"operation": name, "stalledMs": round(stall.ms), "cpuMs": round(stall.cpu_ms), "where": stall.where}
    extra["queuedMs"] = round(stall.queued_ms)
    level = logging.INFO if stall.expected else logging.WARNING
    log.log(level, "the event loop was blocked for %.0f ms in %s", stall.ms, name, extra=extra)


def _named_in(frame: FrameType | None) -> str:
    while frame is not None:  # innermost first
        folder, _, rest = frame.f_code.co_filename.rpartition("functions/")[2].partition("/")
        if rest == "main.py":
            return folder
        for value in frame.f_locals.values():
            if type(value) is running and (name := getattr(value, "operation", "")):  # may be half-constructed
                return str(name)
        frame = frame.f_back
    return ""


def _loads(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _place(frame: FrameType | None) -> str:
    while frame is not None and "site-packages" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:
        return ""
    code = frame.f_code
    return f"{'/'.join(code.co_filename.rsplit('/', 3)[-3:])}:{frame.f_lineno} {code.co_name}"
