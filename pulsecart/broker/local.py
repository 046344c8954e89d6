"""Runs the Brokers, Triggers and PingSources of ``eventing/*.yaml`` in this process, in place of Knative."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pulsecart.broker.courier import Courier, lived
from pulsecart.broker.delivery import GARBAGE, Outcome
from pulsecart.broker.dispatch import Dispatcher
from pulsecart.broker.ingress import Ingress
from pulsecart.broker.manifests.eventing import Eventing, PingSource, Trigger, load
from pulsecart.broker.metrics import Published
from pulsecart.broker.ping import Pings
from pulsecart.broker.status import Pressure, TriggerStatus
from pulsecart.broker.trigger import Deliver
from pulsecart.broker.worker_wakeups import WorkerWakeUps
from pulsecart.runtime import contracts
from pulsecart.runtime.algorithms import named
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed, Unavailable
from pulsecart.serving.http import Reply, Request

if TYPE_CHECKING:
    from pulsecart.runtime.deps import Deps
    from pulsecart.serving.operation import Operation

PUBLISH_S = 1.0
READY_LOOK_S = 0.01
PING_TIMEOUT_S = 60.0


class LocalBroker:
    """
    The broker of one worker process.

    Args:
        operations: all operations; the manifests name each by its ``dns_name``.
        validate: raises Malformed for an event that breaks its contract; called by the ingress and for replies.
        busy: whether orders wait to be written; new events are then read slightly later, see ``Tail``.
        deliver: wraps the delivery to subscribers; tests use it to repeat or reorder deliveries.

    Raises:
        Misconfigured: a manifest in ``eventing_dir`` is invalid or not supported; nothing was started.
    """

    def __init__(
        self,
        operations: "Mapping[str, Operation]",
        eventing_dir: Path,
        deps: "Deps",
        worker: int = 0,
        workers: int = 1,
        *,
        busy: Callable[[], bool] = lambda: False,
        validate: Callable[[CloudEvent], None] = contracts.validate,
        deliver: Callable[[Deliver], Deliver] = lambda real: real,
    ) -> None:
        by_name = {operation.dns_name: operation for operation in operations.values()}
        self.eventing: Eventing = load(eventing_dir, by_name, named(deps.settings.profiles))
        self._deps = deps
        self._workers = workers
        self._courier = Courier(by_name, deps)
        self._worker_wake_ups = WorkerWakeUps(deps.redis, worker, self._wake_here)
        self._published = Published()
        self._tasks: list[asyncio.Task[None]] = []
        self._dispatcher = Dispatcher(
            deps.settings.database_url,
            self.eventing.triggers,
            deliver=deliver(self._deliver),
            send_dead_letter=self._send_dead_letter,
            worker=worker,
            workers=workers,
            busy=busy,
        )
        self._pings = Pings(self.eventing.ping_sources, send=self._ping, claim=self._claim, clock=deps.clock)
        self._ingress = Ingress(
            deps.db,
            {(broker.namespace, broker.name) for broker in self.eventing.brokers},
            validate=validate,
            pressure=self.pressure,
            committed=self.wake,
        )

    async def start(self) -> None:
        """Start to dispatch; return immediately and connect to PostgreSQL in the background."""
        runs = [self._dispatcher.run(), self._pings.run(), self._publish()]
        if self._workers > 1:
            runs.append(self._worker_wake_ups.run())
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        """Wait some seconds for deliveries in flight, store the cursors, and release the locks."""
        self._dispatcher.stop()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def ready(self) -> None:
        """Wait until this worker dispatches every trigger; for a process that is the only worker."""
        while len(self._dispatcher.status()) < len(self.eventing.triggers) or not self.running:  # noqa: ASYNC110
            await asyncio.sleep(READY_LOOK_S)

    @property
    def running(self) -> bool:
        """Whether this worker is connected and dispatches the triggers that it has locked."""
        return self._dispatcher.store is not None

    def wake(self) -> None:
        """Wake the dispatchers of all workers; call this after every commit that emitted events."""
        self._wake_here()
        if self._workers > 1:
            self._worker_wake_ups.ring()

    def pressure(self) -> Pressure:
        """Return the lag of the slowest trigger, in this worker or (in seconds only) in another."""
        statuses = self._dispatcher.status().values()
        lag_s = max((status.lag_s for status in statuses), default=0.0)
        return Pressure(
            lag_s=max(lag_s, self._dispatcher.lag_of_others_s),
            lag_events=max((status.lag_events for status in statuses), default=0),
        )

    def status(self) -> Mapping[str, TriggerStatus]:
        """Return the status of the triggers that this worker dispatches, by name."""
        return self._dispatcher.status()

    async def ingress(self, request: Request, namespace: str, broker: str) -> Reply:
        """Answer ``POST /broker/<namespace>/<broker>``."""
        return await self._ingress.answer(request, namespace, broker)

    def _wake_here(self) -> None:
        self._dispatcher.wake()

    async def _deliver(self, trigger: Trigger, event: CloudEvent) -> Outcome:
        outcome = await self._courier(trigger.subscriber, event, trigger.delivery.timeout_s)
        if outcome.event is None:
            return outcome
        reply = lived(outcome.event, event)
        try:
            if reply is not None:
                await self._ingress.append(reply)
        except Malformed as error:
            return Outcome("again", code=GARBAGE, data=error.detail.encode())
        except Unavailable as error:
            return Outcome("again", code=error.status, data=error.detail.encode())
        return outcome

    async def _send_dead_letter(self, trigger: Trigger, letter: CloudEvent) -> bool:
        outcome = await self._courier(trigger.delivery.dead_letter_sink, letter, trigger.delivery.timeout_s)
        return outcome.verdict == "done"

    async def _ping(self, source: PingSource, event: CloudEvent) -> Outcome:
        return await self._courier(source.sink, event, PING_TIMEOUT_S)

    async def _claim(self, name: str, tick: datetime) -> bool:
        if self._dispatcher.store is None:
            raise Unavailable("database-unavailable", "no connection")
        return await self._dispatcher.store.claim_tick(name, tick)

    async def _publish(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(PUBLISH_S)
                self._published.publish(self._dispatcher.status(), self._dispatcher.totals())
