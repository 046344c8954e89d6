"""Fans news out to live streams: one reader per process passes each entry to the listeners of its topic."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing, nullcontext, suppress
from time import perf_counter

from pulsecart.edge.streams.client_buffer import ROOM, Outlet
from pulsecart.edge.streams.news import START, Id, News, frame, message
from pulsecart.edge.streams.places import Place
from pulsecart.edge.streams.reader import follow
from pulsecart.edge.streams.snapshot import Snapshots
from pulsecart.edge.streams.topics import BUYER, Topic
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.telemetry import tracing
from pulsecart.runtime.telemetry.tracing import span

log = logging.getLogger(__name__)
READY_S = 1.0
SLICE = 256  # deliveries in one iteration of the event loop
PACE_S = 0.02  # between two states of one product
PACE_SHARE = 8  # a product's fan-out takes at most 1/8 of the event loop's time
RESYNCS = 32


class Listener:
    """One client's subscription to a topic: news reach ``outlet`` in order, each once, none before ``begin``."""

    def __init__(self, topic: Topic, outlet: Outlet, *, as_message: bool = False) -> None:
        self.topic = topic
        self.outlet = outlet
        self.seen = START
        self.joining = True
        self.behind = False
        self.place: Place | None = None  # None if the connection carries several listeners
        self._as_message = as_message
        self._early: list[News] | None = []

    def offer(self, news: News) -> None:
        if self._early is not None:
            self._early = [news] if self.topic.kind.newest_only else [*self._early[-ROOM:], news]
        elif news.id > self.seen or not self.topic.kind.in_order:
            self.seen = news.id
            self.outlet.put(news.message if self._as_message else news.frame, self.topic.kind.newest_only)

    def begin(self, seen: Id) -> None:
        """Send the news that arrived since the join; the client already has everything up to ``seen``."""
        early, self._early, self.seen = self._early or [], None, seen
        if self.behind or len(early) > ROOM:
            self.outlet.end()  # the client reconnects with its last id
        for news in early:
            self.offer(news)

    def beat(self) -> None:
        if self._early is None:
            self.outlet.beat()

    def restart(self, snapshot: News) -> None:
        """After a loss of history, send a gap and the current state, whatever the client had."""
        if self._early is not None:  # it is reading its first snapshot, which may be too old
            self.behind = True
            return
        self.seen = snapshot.id
        if self._as_message:
            self.outlet.put(message("gap", gap(self.topic, "history-lost")))
            self.outlet.put(snapshot.message)
        else:
            self.outlet.put(frame("gap", gap(self.topic, "history-lost")) + snapshot.frame)


def gap(topic: Topic, reason: str) -> dict[str, str]:
    """Return the data of a ``gap`` event, which informs a client that news are missing; a snapshot follows."""
    return {"reason": reason, "stream": topic.key}


class Hub:
    """All listeners of this process; made with ``deps.singleton(Hub)``. It runs no task while there are none."""

    def __init__(self, deps: Deps) -> None:
        self._redis_url = deps.settings.redis_url
        self._heartbeat_s = deps.settings.stream_heartbeat_s
        self._snapshots = deps.singleton(Snapshots)
        self._topics: dict[str, set[Listener]] = {}
        self._newest: dict[str, News] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Event | None = None
        self.closed = False
        deps.before_shutdown.append(self.close)

    @property
    def listeners(self) -> int:
        return sum(map(len, self._topics.values()))

    async def join(self, listener: Listener) -> None:
        """Add the listener: it misses no later news of its topic, unless Redis cannot be reached within READY_S."""
        self._topics.setdefault(listener.topic.key, set()).add(listener)
        if self._reading is None:
            self._reading = asyncio.Event()
            self._run(self._read(self._reading))
            self._run(self._beat(self._reading))
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._reading.wait()
        listener.joining = False

    def leave(self, listener: Listener) -> None:
        listeners = self._topics.get(listener.topic.key, set())
        listeners.discard(listener)
        if not listeners:
            self._topics.pop(listener.topic.key, None)

    async def close(self) -> None:
        """End every stream, so that the server can stop; the clients reconnect to any process."""
        self.closed = True
        self._end_all()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def catch_up(self, topic: Topic) -> None:
        """Send a gap and a snapshot to all listeners of a topic; end their streams if there is no snapshot."""
        try:
            snapshot = await self._snapshots.of(topic)
        except Problem:
            snapshot = None
        except Exception:  # affects this topic only; other topics continue
            log.exception("no snapshot of %s", topic.key)
            snapshot = None
        for listener in tuple(self._topics.get(topic.key, ())):
            if snapshot is None:
                listener.outlet.end()
            elif not listener.joining:
                listener.restart(snapshot)

    def _end_all(self) -> None:
        for listener in self._everyone():
            listener.outlet.end()

    def _everyone(self) -> list[Listener]:
        return [listener for listeners in self._topics.values() for listener in listeners]

    def _run(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, reading: asyncio.Event) -> None:
        try:
            async with aclosing(follow(self._redis_url)) as items:
                async for item in items:
                    if not self._topics:
                        self._reading = None  # before any await, so that the next join starts another reader
                        return
                    if item is None:
                        await self._catch_up_all()
                        reading.set()
                    else:
                        await self._send(item)
        except Exception:
            log.exception("live streams start again")
            self._end_all()
        finally:
            if self._reading is reading:
                self._reading = None

    async def _catch_up_all(self) -> None:
        topics = list({listener.topic for listener in self._everyone() if not listener.joining})
        for at in range(0, len(topics), RESYNCS):
            await asyncio.gather(*(self.catch_up(topic) for topic in topics[at : at + RESYNCS]))

    async def _send(self, batch: Iterable[News]) -> None:
        for news in batch:
            if listeners := self._topics.get(news.key):
                if next(iter(listeners)).topic.kind.newest_only:
                    self._send_paced(news)
                else:
                    await self._send_to_all(news.key, news)
            if news.buyer_id and (key := BUYER.key + news.buyer_id) in self._topics:
                await self._send_to_all(key, news)

    def _send_paced(self, news: News) -> None:
        pacing = news.key in self._newest
        self._newest[news.key] = news
        if not pacing:
            self._run(self._pace(news.key))

    async def _pace(self, key: str) -> None:
        """Send the newest news immediately, and newer news after a pause in proportion to the cost of the fan-out."""
        latest = None
        try:
            while (news := self._newest[key]) is not latest:
                started = perf_counter()
                await self._send_to_all(key, news)
                latest = news
                await asyncio.sleep(max(PACE_S, PACE_SHARE * (perf_counter() - started)))
        finally:
            del self._newest[key]

    async def _send_to_all(self, key: str, news: News) -> None:
        with span("edge.send", news.traceparent, {"stream": news.key}) if tracing.on() else nullcontext():
            for count, listener in enumerate(tuple(self._topics.get(key, ())), 1):
                listener.offer(news)
                if count % SLICE == 0:
                    await asyncio.sleep(0)

    async def _beat(self, reading: asyncio.Event) -> None:
        """Send heartbeats, which keep idle connections open and detect clients that have disconnected silently."""
        while self._reading is reading:
            await asyncio.sleep(self._heartbeat_s)
            for count, listener in enumerate(self._everyone(), 1):
                listener.beat()
                if count % SLICE == 0:
                    await asyncio.sleep(0)
