"""Sends each PingSource's event to its sink at each tick, once across workers; missed ticks are lost, as on Knative."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from pulsecart.broker.delivery import Outcome
from pulsecart.broker.manifests.eventing import PingSource
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.event import CloudEvent, new_id

log = logging.getLogger(__name__)
PING = "dev.knative.sources.ping"
RETRIES = 5
RETRY = Backoff(0.05)
NAP_S = 30.0  # longest sleep, after which a clock that jumped is noticed


class Clock(Protocol):
    """The time, aware UTC."""

    def now(self) -> datetime: ...


class Pings:
    """
    Fires the ticks of all PingSources.

    Args:
        send: makes one attempt to deliver to the sink.
        claim: returns whether this process fires this tick of the named source; raises if that cannot be known.
        sleep: ``asyncio.sleep``, or a test's replacement.
    """

    def __init__(
        self,
        sources: Sequence[PingSource],
        *,
        send: Callable[[PingSource, CloudEvent], Awaitable[Outcome]],
        claim: Callable[[str, datetime], Awaitable[bool]],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = sources
        self._send = send
        self._claim = claim
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Fire ticks until cancelled."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self._keep_time(source, group))

    async def _keep_time(self, source: PingSource, group: asyncio.TaskGroup) -> None:
        due = source.schedule.after(self._clock.now())
        while True:
            while (left_s := (due - self._clock.now()).total_seconds()) > 0:
                await self._sleep(min(left_s, NAP_S))
            group.create_task(self.fire(source, due))
            due = source.schedule.after(max(due, self._clock.now()))

    async def fire(self, source: PingSource, tick: datetime) -> None:
        """Deliver this tick, if this worker claims it."""
        try:
            if not await self._claim(f"{source.namespace}/{source.name}", tick):
                return
        except Exception as error:  # without the claim two workers could fire; the next tick follows
            log.warning("%s: the tick of %s is skipped: %r", source.name, tick, error)
            return
        event = CloudEvent(
            id=new_id(),
            source=source.source,
            type=PING,
            time=self._clock.now(),
            data=source.data,
            datacontenttype=source.content_type,
        )
        outcome = await self._send(source, event)
        for failures in range(1, RETRIES + 1):
            if outcome.verdict != "again":
                break
            await self._sleep(RETRY.jittered_after(failures))
            outcome = await self._send(source, event)
        if outcome.verdict != "done":
            log.error("%s: the tick of %s failed with %d: %r", source.name, tick, outcome.code, outcome.data[:200])
