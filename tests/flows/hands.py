"""Replaces the delivery between broker and subscribers: ``Hands`` hold events back, ``BadHands`` deliver badly."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from pulsecart.broker.delivery import DONE, Outcome
from pulsecart.broker.manifests.eventing import Trigger
from pulsecart.broker.trigger import Deliver
from pulsecart.runtime.event import CloudEvent

DELAY_S = 0.1
AGAIN_S = 0.05


class Hands:
    """
    Delivers as the broker does, but holds back the chosen events.

    Attributes:
        tried: per trigger, each attempt's event.
        arrived: per trigger, each event that was handled, in that order.
    """

    def __init__(self) -> None:
        self.under_way: Counter[str] = Counter()
        self.tried: defaultdict[str, list[CloudEvent]] = defaultdict(list)
        self.arrived: defaultdict[str, list[CloudEvent]] = defaultdict(list)
        self._held: dict[str, asyncio.Event] = {}

    def wrap(self, real: Deliver) -> Deliver:
        """Wrap LocalBroker's ``deliver``."""

        async def deliver(trigger: Trigger, event: CloudEvent) -> Outcome:
            while trigger.name in self._held:
                await self._held[trigger.name].wait()
            self.under_way[trigger.name] += 1
            self.tried[trigger.name].append(event)
            try:
                outcome = await real(trigger, event)
            finally:
                self.under_way[trigger.name] -= 1
            if outcome.verdict == "done":
                self.arrived[trigger.name].append(event)
            return outcome

        return deliver

    @contextmanager
    def holding(self, trigger: str) -> Iterator[None]:
        """Hold back all deliveries to this trigger for the context."""
        released = self._held[trigger] = asyncio.Event()
        try:
            yield
        finally:
            del self._held[trigger]
            released.set()

    async def empty(self) -> None:
        """Wait until no delivery is in flight."""

    async def let_go(self) -> None:
        """Deliver the events that were kept for the end."""


class BadHands(Hands):
    """
    Delivers every event twice, each time after a delay of its own; half of the second deliveries are the very last.

    The broker gets "done" at once, so neither its order nor its retries protect a consumer.

    Attributes:
        refused: what a consumer would have sent to the dead letters.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.refused: list[tuple[str, CloudEvent, Outcome]] = []
        self._dice = Random(seed)
        self._late: list[tuple[Trigger, CloudEvent]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._deliver: Deliver

    def wrap(self, real: Deliver) -> Deliver:
        self._deliver = super().wrap(real)

        async def deliver(trigger: Trigger, event: CloudEvent) -> Outcome:
            self._send(trigger, event)
            if self._dice.random() < 0.5:
                self._send(trigger, event)
            else:
                self._late.append((trigger, event))
            return DONE

        return deliver

    async def empty(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def let_go(self) -> None:
        late, self._late = self._late, []
        self._dice.shuffle(late)
        for trigger, event in late:
            self._send(trigger, event)

    def _send(self, trigger: Trigger, event: CloudEvent) -> None:
        delay_s = self._dice.uniform(0, DELAY_S)
        task = asyncio.get_running_loop().create_task(self._carry(trigger, event, delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, trigger: Trigger, event: CloudEvent, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while (outcome := await self._deliver(trigger, event)).verdict == "again":  # noqa: ASYNC110
            await asyncio.sleep(AGAIN_S)
        if outcome.verdict == "never":
            self.refused.append((trigger.name, event, outcome))

    def out_of_order(self, trigger: str) -> int:
        """Count the events that first arrived after one of their key with a higher sequence."""
        newest: dict[str, int] = {}
        seen: set[str] = set()
        late = 0
        for event in self.arrived[trigger]:
            late += event.id not in seen and newest.get(event.partitionkey, 0) > event.sequence
            newest[event.partitionkey] = max(newest.get(event.partitionkey, 0), event.sequence)
            seen.add(event.id)
        return late
