"""What may stand between the broker and its subscribers: hands that hold events back, and hands that deliver badly."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from runtime.knative.config import Trigger
from runtime.knative.delivery import Outcome
from runtime.knative.trigger import Deliver
from shop.event import CloudEvent
from tests.knative.double import Double

DELAY_S = 0.1


class Hands:
    """
    Delivers as the broker does, but holds back what it is told to hold.

    Attributes:
        tried: per trigger, each attempt's event.
        arrived: per trigger, each event that was heard to the end, in the order in which that happened.
    """

    def __init__(self) -> None:
        self.under_way: Counter[str] = Counter()
        self.tried: defaultdict[str, list[CloudEvent]] = defaultdict(list)
        self.arrived: defaultdict[str, list[CloudEvent]] = defaultdict(list)
        self._held: dict[str, asyncio.Event] = {}

    def wrap(self, real: Deliver) -> Deliver:
        """LocalKnative's ``deliver``."""

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
        """Nothing begins to be delivered to it meanwhile."""
        released = self._held[trigger] = asyncio.Event()
        try:
            yield
        finally:
            del self._held[trigger]
            released.set()

    async def empty(self) -> None:
        """Waits until nothing is left in them."""

    async def let_go(self) -> None:
        """Deliver what was kept for the end."""


class BadHands(Hands):
    """
    Delivers every event twice, each time after a delay of its own, and half of them the second time at the very end.

    The broker is told "done" at once, so neither its order nor its retries protect anybody.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.double = Double(seed, copies=1, delay_s=DELAY_S)
        self._dice = Random(seed)
        self._late: list[tuple[Trigger, CloudEvent]] = []
        self._once: Deliver

    def wrap(self, real: Deliver) -> Deliver:
        self._once = once = self.double(super().wrap(real))

        async def deliver(trigger: Trigger, event: CloudEvent) -> Outcome:
            if self._dice.random() < 0.5:
                await once(trigger, event)
            else:
                self._late.append((trigger, event))
            return await once(trigger, event)

        return deliver

    async def empty(self) -> None:
        await self.double.quiet()

    async def let_go(self) -> None:
        late, self._late = self._late, []
        self._dice.shuffle(late)
        for trigger, event in late:
            await self._once(trigger, event)

    def out_of_order(self, trigger: str) -> int:
        """How often an event came first after one of its key with a higher sequence."""
        newest: dict[str, int] = {}
        seen: set[str] = set()
        late = 0
        for event in self.arrived[trigger]:
            late += event.id not in seen and newest.get(event.partitionkey, 0) > event.sequence
            newest[event.partitionkey] = max(newest.get(event.partitionkey, 0), event.sequence)
            seen.add(event.id)
        return late
