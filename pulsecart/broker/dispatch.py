"""The dispatcher of one worker: it holds the locks of its triggers on one connection, and lives and dies with it."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pulsecart.broker import store
from pulsecart.broker.key_lanes import Row
from pulsecart.broker.log_windows import Tail
from pulsecart.broker.manifests.eventing import Trigger
from pulsecart.broker.status import LAG_EVENTS_MAX, Counts, TriggerStatus, status_of
from pulsecart.broker.store import Store
from pulsecart.broker.trigger import Bury, Deliver, Spawn, TriggerRun
from pulsecart.runtime.db.log import Cursor
from pulsecart.runtime.jitter import jittered

log = logging.getLogger(__name__)
FLUSH_S = 0.05
SWEEP_S = 0.25
KEEP_S = 1.0
LEAVE_TO_OTHERS_S = 2.0  # after a start, before a worker takes what another one prefers
GRACE_S = 5.0
RECONNECT_S, RECONNECT_MAX_S = 0.1, 1.0


class Dispatcher:
    """
    Args:
        worker: this process' number among ``workers``; it prefers every ``workers``-th trigger.
        busy: of ``Tail``.
        whole_log: a new trigger starts at the log's beginning, and cursors of others are left alone.
    """

    def __init__(
        self,
        database_url: str,
        triggers: Sequence[Trigger],
        *,
        deliver: Deliver,
        bury: Bury,
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
        self._bury = bury
        self._worker = worker
        self._workers = workers
        self._counts = {name: Counts() for name in self._triggers}
        self._runs: dict[str, TriggerRun] = {}
        self._dirty = asyncio.Event()
        self._stopping = asyncio.Event()
        self._storing = asyncio.Lock()  # what is read of the backlog is as new as what was last written
        self._woken: Callable[[], None] = lambda: None
        self.store: Store | None = None
        self.lag_of_others_s = 0.0

    def wake(self) -> None:
        """Something was committed to the log."""
        self._woken()

    def stop(self) -> None:
        """Ask ``run`` to finish what is under way and to end."""
        self._stopping.set()

    def status(self) -> Mapping[str, TriggerStatus]:
        """Of the triggers dispatched here, now."""
        now = time.time()
        return {name: status_of(run, now) for name, run in self._runs.items()}

    @property
    def idle(self) -> bool:
        """Whether all triggers are dispatched here, and none has anything left."""
        return len(self._runs) == len(self._triggers) and all(run.idle for run in self._runs.values())

    def totals(self) -> Mapping[str, Counts]:
        """Of all triggers, as far as they were dispatched here since the start."""
        return self._counts

    async def run(self) -> None:
        """Until ``stop``; a lost connection is replaced, and everything begins again from what is stored."""
        pause_s = RECONNECT_S
        while not self._stopping.is_set():
            try:
                async with store.session(self._url) as opened:
                    pause_s = RECONNECT_S
                    await self._session(opened)
            except* (store.Lost, OSError) as lost:
                if pause_s == RECONNECT_S:
                    log.warning("dispatch waits for PostgreSQL: %s", lost.exceptions[0])
            except* Exception:
                log.exception("dispatch broke and begins again")
            if not self._stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(jittered(pause_s)):
                        await self._stopping.wait()
            pause_s = min(pause_s * 2, RECONNECT_MAX_S)

    async def _session(self, opened: Store) -> None:
        self._runs = {}
        self.store = opened
        tail = Tail(opened.log, await opened.log.end(), self._busy)
        self._woken = tail.wake
        try:
            async with asyncio.TaskGroup() as group:
                spawn = self._spawning(group)
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

    def _spawning(self, group: asyncio.TaskGroup) -> Spawn:
        """
        Tasks of one session. The first that fails ends it, and with its connection the locks: no delivery may begin
        after that, although timers of retries still ring until all tasks are cancelled.
        """

        def ended(task: "asyncio.Task[None]") -> None:
            if not task.cancelled() and task.exception() is not None:
                self._close()

        def spawn(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
            task = group.create_task(work)
            task.add_done_callback(ended)
            return task

        return spawn

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
        """Take locks that are free, give back what another prefers, and find rows that were put into the backlog."""
        await opened.show_presence(self._worker)
        if (mended := await opened.mend_restored()) is not None:
            log.warning("this database came from a dump; %d events are delivered again", mended)
        if not self._whole_log:
            for name, waiting in (await opened.forget_all_but(list(self._triggers))).items():
                log.warning("trigger %s is no more; %d waiting events are dropped", name, waiting)
        await opened.cursors(list(self._triggers), self._whole_log)  # of those that others will dispatch too
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
        """The other workers whose triggers are not to be touched."""
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
                bury=self._bury,
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
        """Counts only for who was not at the end since the last time."""
        for run in list(self._runs.values()):
            kept_up, run.keeps_up = run.keeps_up or run.at_end, False
            run.unread = (0, 0.0) if kept_up else await opened.log.unread(run.reading, LAG_EVENTS_MAX + 1)

    async def _give_back(self, opened: Store, present: set[int]) -> None:
        """Triggers that another worker prefers, once it is there: so restarts do not pile everything on one."""
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
