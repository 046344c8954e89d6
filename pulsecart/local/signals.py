"""Signals made into something to wait for, so that a supervisor with nothing to do takes no processor at all."""

import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """Somebody asked for the end: Ctrl-C, a signal, or a closed terminal."""


class Bell:
    """Rings when a child has died, and when the end is asked for. One per process, in its main thread."""

    def __init__(self) -> None:
        self.ended = False
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._rung, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # without a handler nothing would be written
        for sign in ENDING:
            if sign != signal.SIGHUP or signal.getsignal(sign) != signal.SIG_IGN:  # nohup is obeyed
                signal.signal(sign, self._end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._heard)
        os.close(self._rung)

    def pause(self, seconds: float) -> None:
        """
        Sleep, waking up for no signal but those that end.

        Raises:
            Ended: now or before, the end was asked for.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.wait(left)

    def wait(self, seconds: float | None = None) -> None:
        """
        Sleep until a child has died or the time is over; ``None`` is for ever.

        Raises:
            Ended: now or before, the end was asked for.
        """
        if not self.ended and select.select([self._heard], [], [], seconds)[0]:
            os.read(self._heard, 4096)
        if self.ended:
            raise Ended

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ended = True
