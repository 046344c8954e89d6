"""
Dispatches the events of the log to the subscribers of the Triggers that this worker has locked.

Session-level advisory locks on one PostgreSQL connection keep each Trigger on one worker. A session of the dispatcher
starts with that connection and ends when it is lost.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pulsecart.broker import store
from pulsecart.broker.key_lanes import Row
from pulsecart.broker.log_windows import Tail
from pulsecart.broker.manifests.eventing import Trigger
from pulsecart.broker.session_tasks import Spawn, spawner
from pulsecart.broker.status import LAG_EVENTS_MAX, Counts, TriggerStatus, status_of
from pulsecart.broker.store import Store
from pulsecart.broker.trigger import Deliver, SendDeadLetter, TriggerRun
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.db.log import Cursor

log = logging.getLogger(__name__)
FLUSH_S = 0.05
SWEEP_S = 0.25
KEEP_S = 1.0
LEAVE_TO_OTHERS_S = 2.0  # after a start, before a worker locks triggers that another worker prefers
GRACE_S = 5.0
RECONNECT = Backoff(0.1, 1.0)


class Dispatcher:
    """
    Runs the triggers that this worker has locked, and stores their cursors and backlog.

    Args:
        worker: index of this process among ``workers``; it prefers every ``workers``-th trigger.
        busy: passed to ``Tail``.
        whole_log: a new trigger starts at the beginning of the log, and cursors of unknown triggers are not deleted.
    """

    def __init__(
        self,
        database_url: str,
        triggers: Sequence[Trigger],
        *,
        deliver: Deliver,
        send_dead_letter: SendDeadLetter,
        worker: int = 0,
        workers: int = 1,
        busy: Callable[[], bool] = lambda: False,
        whole_log: bool = False,
    ) -> None:
        self._busy = busy
        self._whole_log = whole_log
        self._url = database_url
        self._triggers = {trigger.name: trigger for trigger in triggers}
        self._home = {trigger.name: index % workers for index, trigger in enumerate(triggers)}
        self._deliver = deliver
        self._send_dead_letter = send_dead_letter
        self._worker = worker
        self._workers = workers
        self._counts = {name: Counts() for name in self._triggers}
        self._runs: dict[str, TriggerRun] = {}
        self._dirty = asyncio.Event()
        self._stopping = asyncio.Event()
        self._storing = asyncio.Lock()  # a read of the backlog includes the last write
        self._woken: Callable[[], None] = lambda: None
        self.store: Store | None = None
        self.lag_of_others_s = 0.0

    def wake(self) -> None:
        """Wake the reader of the log: events were committed."""
        self._woken()

    def stop(self) -> None:
        """Make ``run`` finish the deliveries in flight and return."""
        self._stopping.set()

    def status(self) -> Mapping[str, TriggerStatus]:
        """Return the current status of the triggers that this worker dispatches, by name."""
        now = time.time()
        return {name: status_of(run, now) for name, run in self._runs.items()}

    @property
    def idle(self) -> bool:
        """Whether this worker dispatches all triggers, and none has an event left to deliver."""
        return len(self._runs) == len(self._triggers) and all(run.idle for run in self._runs.values())

    def totals(self) -> Mapping[str, Counts]:
        """Return the counts of all triggers, for deliveries by this worker since it started."""
        return self._counts

    async def run(self) -> None:
        """Dispatch until ``stop``; after a lost connection, continue from the stored cursors and backlog."""
        failures = 0
        while not self._stopping.is_set():
            try:
                async with store.session(self._url) as opened:
                    failures = 0
                    await self._session(opened)
            except* (store.Lost, OSError) as lost:
                if not failures:
                    log.warning("dispatch waits for PostgreSQL: %s", lost.exceptions[0])
            except* Exception:
                log.exception("dispatch failed and starts again")
            failures += 1
            if not self._stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(RECONNECT.jittered_after(failures)):
                        await self._stopping.wait()

    async def _session(self, opened: Store) -> None:
        self._runs = {}
        self.store = opened
        tail = Tail(opened.log, await opened.log.end(), self._busy)
        self._woken = tail.wake
        try:
            async with asyncio.TaskGroup() as group:
                spawn = spawner(group, self._close)
                tasks = [spawn(tail.run()), spawn(self._keep(opened, tail, spawn)), spawn(self._flush_often(opened))]
                try:
                    await self._stopping.wait()
                    await self._finish(opened, tasks)
                finally:
                    self._close()
        finally:
            self.store = None
            self._woken = lambda: None
            self._runs = {}

    def _close(self) -> None:
        for run in self._runs.values():
            run.close()

    async def _finish(self, opened: Store, tasks: "list[asyncio.Task[None]]") -> None:
        async with opened.at_rest:
            for task in tasks:
                task.cancel()
            self._close()
        await asyncio.gather(*[run.drain(GRACE_S) for run in self._runs.values()])
        await self._flush(opened)
        for run in self._runs.values():
            run.end()

    async def _keep(self, opened: Store, tail: Tail, spawn: Spawn) -> None:
        """Lock free triggers, release those that another worker prefers, and load backlog rows that are due."""
        await opened.show_presence(self._worker)
        if (mended := await opened.mend_restored()) is not None:
            log.warning("this database was restored from a dump; %d events are delivered again", mended)
        if not self._whole_log:
            for name, waiting in (await opened.forget_all_but(list(self._triggers))).items():
                log.warning("trigger %s no longer exists; its %d waiting events are dropped", name, waiting)
        await opened.cursors(list(self._triggers), self._whole_log)  # also of triggers that other workers will dispatch
        started = time.monotonic()
        while True:
            present = await self._present(opened, time.monotonic() - started)
            wanted = [name for name, home in self._home.items() if name not in self._runs and home not in present]
            if wanted and (locked := await opened.lock(wanted)):
                await self._adopt(opened, tail, spawn, locked)
            await asyncio.sleep(KEEP_S)
            async with self._storing:
                self._restore(await opened.due(list(self._runs)))
            await self._measure(opened)
            if self._workers > 1:
                await self._give_back(opened, present)
                self.lag_of_others_s = await opened.lag_of_others(list(self._runs))

    async def _present(self, opened: Store, since_start_s: float) -> set[int]:
        """Return the other workers whose preferred triggers this worker must not lock."""
        others = set(self._home.values()) - {self._worker}
        return others if since_start_s < LEAVE_TO_OTHERS_S else await opened.present(sorted(others))

    async def _adopt(self, opened: Store, tail: Tail, spawn: Spawn, names: list[str]) -> None:
        cursors = await opened.cursors(names, self._whole_log)
        backlog = await opened.backlog(names)
        for name in names:
            run = TriggerRun(
                self._triggers[name],
                cursors[name],
                reader=opened.log,
                tail=tail,
                deliver=self._deliver,
                send_dead_letter=self._send_dead_letter,
                spawn=spawn,
                changed=self._dirty.set,
                counts=self._counts[name],
            )
            self._runs[name] = run
        self._restore(backlog)
        for name in names:
            self._runs[name].begin()
        log.debug("worker %d dispatches %s", self._worker, ", ".join(names))

    def _restore(self, rows: Sequence[Row]) -> None:
        by_trigger: dict[str, list[Row]] = {}
        for row in rows:
            by_trigger.setdefault(row.trigger, []).append(row)
        for name, its in by_trigger.items():
            if name in self._runs:
                self._runs[name].restore(its)

    async def _measure(self, opened: Store) -> None:
        """Count unread events; only of triggers that have not reached the end of the log since the last call."""
        for run in list(self._runs.values()):
            kept_up, run.keeps_up = run.keeps_up or run.at_end, False
            run.unread = (0, 0.0) if kept_up else await opened.log.unread(run.reading, LAG_EVENTS_MAX + 1)

    async def _give_back(self, opened: Store, present: set[int]) -> None:
        """Release triggers that a present worker prefers, so that restarts do not leave all triggers on one worker."""
        for name, run in list(self._runs.items()):
            if self._home[name] in present and not run.closed:
                async with opened.at_rest:
                    run.close()
            if run.closed and not run.running:
                await self._flush(opened)
                self._runs.pop(name).end()
                await opened.unlock(name)

    async def _flush_often(self, opened: Store) -> None:
        while True:
            busy = any(run.running for run in self._runs.values())
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S if busy else None):
                    await self._dirty.wait()
            await asyncio.sleep(FLUSH_S)
            self._dirty.clear()
            now = time.monotonic()
            for run in self._runs.values():
                if run.running:
                    run.park_slow(now)
            await self._flush(opened)

    async def _flush(self, opened: Store) -> None:
        async with self._storing:
            cursors: dict[str, tuple[Cursor, float]] = {}
            rows: dict[tuple[str, int], Row | None] = {}
            now = time.time()
            for name, run in self._runs.items():
                cursor, changes = run.lanes.changes()
                if cursor is not None:
                    cursors[name] = (cursor, status_of(run, now).lag_s)
                rows.update(((name, position), row) for position, row in changes.items())
            if cursors or rows:
                await opened.write(cursors, rows)
