"""Turns signals into wake-ups that a supervisor can wait for, so that it uses no CPU while idle."""

import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """The end was requested: Ctrl-C, a signal, or a closed terminal."""


class SignalWaiter:
    """Wakes its process when a child has ended or the end is requested. One per process, in its main thread."""

    def __init__(self) -> None:
        self.ended = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # without a handler, nothing is written to the pipe
        for sign in ENDING:
            if sign != signal.SIGHUP or signal.getsignal(sign) != signal.SIG_IGN:  # respects nohup
                signal.signal(sign, self._end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._read_end)
        os.close(self._write_end)

    def pause(self, seconds: float) -> None:
        """
        Sleep for the full time; only a signal that requests the end interrupts it.

        Raises:
            Ended: the end is requested now, or was before.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.wait(left)

    def wait(self, seconds: float | None = None) -> None:
        """
        Sleep until a child has ended or the time is over; ``None`` waits without a limit.

        Raises:
            Ended: the end is requested now, or was before.
        """
        if not self.ended and select.select([self._read_end], [], [], seconds)[0]:
            os.read(self._read_end, 4096)
        if self.ended:
            raise Ended

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ended = True
