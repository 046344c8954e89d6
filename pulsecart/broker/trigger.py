"""Runs one Trigger: reads the log, delivers events, retries failures, and sends dead letters after the last retry."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from pulsecart.broker.dead_letters.letters import dead_letter, log_letter
from pulsecart.broker.delivery import NO_ANSWER, Outcome
from pulsecart.broker.key_lanes import KEPT_EVENTS, Entry, Lanes, Row, aside
from pulsecart.broker.log_windows import Tail
from pulsecart.broker.manifests.eventing import Trigger
from pulsecart.broker.retry_timer import Waits
from pulsecart.broker.session_tasks import Spawn
from pulsecart.broker.status import Counts
from pulsecart.runtime.backoff import Backoff, jittered
from pulsecart.runtime.db.log import Cursor, LogReader
from pulsecart.runtime.event import CloudEvent

log = logging.getLogger(__name__)
SLOW_S = 1.0  # a longer delivery gets a backlog row, so that neither the cursor nor other keys wait for it
ROOM = 500  # reading pauses at this many events that are neither done nor in the backlog
PARKED_MAX = 50_000
DEAD_LETTER_RETRY = Backoff(1.0, 30.0)
TURN = 64  # deliveries before a runner yields to the event loop
ERROR_KEPT = 768  # bytes of a failed response that fit into the dead letter

Deliver = Callable[[Trigger, CloudEvent], Awaitable[Outcome]]
SendDeadLetter = Callable[[Trigger, CloudEvent], Awaitable[bool]]


class TriggerRun:
    """
    The run of one trigger, from locking it until its release.

    Args:
        send_dead_letter: delivers a dead letter and returns whether the sink accepted it.
        spawn: starts a task that ends with the connection that holds this trigger's lock.
        changed: called when state must be stored, or when a delivery in flight may become slow.
    """

    def __init__(
        self,
        trigger: Trigger,
        cursor: Cursor,
        *,
        reader: LogReader,
        tail: Tail,
        deliver: Deliver,
        send_dead_letter: SendDeadLetter,
        spawn: Spawn,
        changed: Callable[[], None],
        counts: Counts,
    ) -> None:
        self.trigger = trigger
        self.counts = counts
        self.lanes = Lanes(trigger.name)
        self.reading = cursor
        self.unread = (0, 0.0)
        self.keeps_up = False
        self.running: set[Entry] = set()
        self._reader = reader
        self._tail = tail
        self._deliver = deliver
        self._send_dead_letter = send_dead_letter
        self._spawn_task = spawn
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader_task: asyncio.Task[None] | None = None
        self._changed = changed
        self._waits = Waits(self._due)
        self._runners = self._starting = self._slow = 0
        self.closed = False
        self._room = asyncio.Event()

    @property
    def at_end(self) -> bool:
        return self._tail.is_end(self.reading)

    @property
    def idle(self) -> bool:
        """Whether no event is left to read, deliver or retry, up to the known end of the log."""
        return self.at_end and not self.lanes.unsettled and not self.lanes.parked

    def begin(self) -> None:
        """Start reading and delivering."""
        self._reader_task = self._spawn_task(self._read())
        self._go_on()

    def close(self) -> None:
        """Start no further delivery; those in flight may finish."""
        self.closed = True
        if self._reader_task is not None:
            self._reader_task.cancel()
        self._waits.close()

    async def drain(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for the deliveries in flight."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def end(self) -> None:
        """Cancel the deliveries still in flight."""
        self.close()
        for task in self._tasks:
            task.cancel()

    async def _read(self) -> None:
        """Read chunks of the log, while fewer than ROOM events are unsettled and PARKED_MAX are in the backlog."""
        while True:
            while self.lanes.unsettled >= ROOM or len(self.lanes.parked) >= PARKED_MAX:
                self._room.clear()
                await self._room.wait()
            chunk = await self._tail.after(self.reading)
            wants = self.trigger.wants
            self.reading = chunk.end
            self.keeps_up = self.keeps_up or self.at_end
            self.lanes.take(chunk, [row for row in chunk.rows if wants(row.event)])
            self._changed()
            self._go_on()

    def restore(self, rows: Iterable[Row]) -> None:
        """Resume the events of backlog rows, after a start or when another process inserted them."""
        retry = self.trigger.delivery.retry
        for row in rows:
            entry = Entry(row.key, row.position, None, None, 0.0)
            entry.attempts, entry.code, entry.data = min(row.attempts, retry + 1), row.code, row.data
            if entry.attempts > retry:  # only its dead letter is left, and no event waits for that
                entry.lane = aside(entry)
            if self.lanes.restore(entry):
                self._waits.add(entry, 0.0 if row.due_at is None else max(0.0, row.due_at - time.time()))

    def park_slow(self, now: float) -> None:
        """Give each delivery that runs for more than SLOW_S at ``now`` (monotonic clock) a backlog row."""
        for entry in self.running:
            if not entry.slow and now - entry.started > SLOW_S:
                entry.slow = True
                self._slow += 1
                if not entry.parked:
                    self.lanes.park(entry, time.time())
        self._go_on()

    def _go_on(self) -> None:
        while len(self.lanes.ready) > self._starting and self._busy < self.trigger.concurrency and not self.closed:
            self._runners += 1
            self._starting += 1
            task = self._spawn_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._room.set()

    @property
    def _busy(self) -> int:
        """Count the runners, without up to ``concurrency`` slow deliveries, so that these do not stop the others."""
        return self._runners - min(self._slow, self.trigger.concurrency)

    async def _run(self) -> None:
        self._starting -= 1
        try:
            turn = 0
            while self.lanes.ready and self._busy <= self.trigger.concurrency and not self.closed:
                await self._attempt(self.lanes.ready.popleft())
                turn += 1
                if not turn % TURN:
                    await asyncio.sleep(0)
        finally:
            self._runners -= 1
        self._go_on()

    async def _attempt(self, entry: Entry) -> None:
        entry.started = time.monotonic()
        self.running.add(entry)
        try:
            event = entry.event or await self._load(entry)
            if event is None:
                self.lanes.finish(entry)
            elif entry.attempts <= self.trigger.delivery.retry:
                await self._try(entry, event)
            else:
                await self._give_up(entry, event)
        finally:
            self.running.discard(entry)
            self._slow -= entry.slow
            entry.slow = False
            entry.started = 0.0
            self._changed()
            self._room.set()

    async def _load(self, entry: Entry) -> CloudEvent | None:
        found = await self._reader.at([entry.position])
        if not found:
            log.error("%s: the log no longer has position %d; its row is dropped", self.trigger.name, entry.position)
            return None
        entry.event = found[0].event
        return entry.event

    async def _try(self, entry: Entry, event: CloudEvent) -> None:
        self.counts.retries += entry.attempts > 0
        try:
            outcome = await self._deliver(self.trigger, event)
        except Exception as error:  # an error in the adapter is a failed attempt and must not end the trigger
            log.exception("%s: delivery failed unexpectedly", self.trigger.name)
            outcome = Outcome("again", code=NO_ANSWER, data=f"dispatch error: {error!r}".encode())
        entry.attempts += 1
        if outcome.verdict == "done":
            self.counts.delivered += 1
            self.lanes.finish(entry)
            return
        self.counts.failed += 1
        entry.code, entry.data = outcome.code, outcome.data[:ERROR_KEPT]
        delivery = self.trigger.delivery
        if outcome.verdict == "again" and entry.attempts <= delivery.retry:
            self._come_back(entry, jittered(delivery.backoff_s(entry.attempts)))
        else:
            entry.attempts = delivery.retry + 1
            await self._give_up(entry, event)

    async def _give_up(self, entry: Entry, event: CloudEvent) -> None:
        """
        Deliver the dead letter, and retry until the sink accepts it; the backlog row keeps its error code and data.

        Later events of its key do not wait for that.
        """
        trigger = self.trigger
        letter = dead_letter(event, trigger.subscriber, entry.code, entry.data)
        if await self._dead_lettered(trigger, letter):
            self.counts.dead_letters += 1
            log_letter(trigger.name, letter)
            self.lanes.finish(entry)
            return
        self.lanes.set_aside(entry)
        tries = entry.attempts - trigger.delivery.retry
        entry.attempts += 1
        self._come_back(entry, DEAD_LETTER_RETRY.jittered_after(tries))

    async def _dead_lettered(self, trigger: Trigger, letter: CloudEvent) -> bool:
        try:
            return await self._send_dead_letter(trigger, letter)
        except Exception:  # the caller retries
            log.exception("%s: a dead letter could not be stored", trigger.name)
            return False

    def _come_back(self, entry: Entry, delay_s: float) -> None:
        self.lanes.park(entry, time.time() + delay_s)
        if len(self.lanes.parked) > KEPT_EVENTS:
            entry.event = None
        self._waits.add(entry, delay_s)

    def _due(self, entries: list[Entry]) -> None:
        self.lanes.ready.extend(entries)
        self._go_on()
