"""Restarts child processes that end: immediately, then with growing delays while they end soon after a start."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pulsecart.local.cannot_start import CannotStart
from pulsecart.runtime.backoff import Backoff

SOON_S = 10.0
DELAY = Backoff(0.1, 5.0)
GIVE_UP_AFTER = 10


class Watched(Protocol):
    """A server or worker: ``spawn`` starts it without waiting; ``process`` is its latest process."""

    @property
    def name(self) -> str: ...

    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...

    def spawn(self) -> None: ...


@dataclass(slots=True)
class _Life:
    began: float
    early_deaths: int = 0
    due: float | None = None


class Watch:
    """
    Detects children that have ended, and restarts them.

    Args:
        children: servers and workers that are already running.
        say: receives a sentence for each end and each restart.
        changed: called after a pid has changed.
        now: returns monotonic seconds.
    """

    def __init__(
        self,
        children: Sequence[Watched],
        say: Callable[[str], None],
        changed: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lives = [(child, _Life(began=now())) for child in children]
        self._say = say
        self._changed = changed
        self._now = now

    def tend(self) -> float | None:
        """
        Restart the children that have ended and are due.

        Returns:
            Seconds until the next restart is due; ``None`` when all children run.

        Raises:
            CannotStart: a child ended more than GIVE_UP_AFTER times in a row, each within SOON_S seconds.
        """
        for child, life in self._lives:
            if life.due is None and child.process is not None and child.process.poll() is not None:
                life.due = self._record_end(child, life)
            if life.due is not None and life.due <= self._now():
                child.spawn()
                life.began, life.due = self._now(), None
                self._say(f"{child.name} was restarted (pid {child.process.pid if child.process else '?'})")
                self._changed()
        waits = [life.due - self._now() for _, life in self._lives if life.due is not None]
        return max(0.0, min(waits)) if waits else None

    def _record_end(self, child: Watched, life: _Life) -> float:
        """Report that a child has ended; return when it is due to restart."""
        lived = self._now() - life.began
        life.early_deaths = life.early_deaths + 1 if lived < SOON_S else 1
        self._say(f"{child.name} {_death(child.process)}")
        if life.early_deaths > GIVE_UP_AFTER:
            raise CannotStart(f"{child.name} died {life.early_deaths} times in a row, each within {SOON_S:.0f} s")
        return self._now() + DELAY.after(life.early_deaths - 1)


def _death(process: subprocess.Popen[bytes] | None) -> str:
    status = process.returncode if process else None
    pid = process.pid if process else None
    if status is not None and status < 0:
        return f"(pid {pid}) was killed by {signal.Signals(-status).name}"
    return f"(pid {pid}) ended with status {status}"
