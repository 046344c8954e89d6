"""What may stand between the broker and its subscribers: hands that hold events back, and hands that deliver badly."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from runtime.knative.config import Trigger
from runtime.knative.delivery import DONE, Outcome
from runtime.knative.trigger import Deliver
from shop.event import CloudEvent

DELAY_S = 0.1
AGAIN_S = 0.05


class Hands:
    """Delivers as the broker does, but holds back what it is told to hold."""

    def __init__(self) -> None:
        self.under_way: Counter[str] = Counter()
        self._held: dict[str, asyncio.Event] = {}
        self._real: Deliver

    def wrap(self, real: Deliver) -> Deliver:
        """LocalKnative's ``deliver``."""
        self._real = real
        return self.deliver

    @contextmanager
    def holding(self, trigger: str) -> Iterator[None]:
        """Nothing begins to be delivered to it meanwhile."""
        released = self._held[trigger] = asyncio.Event()
        try:
            yield
        finally:
            del self._held[trigger]
            released.set()

    async def deliver(self, trigger: Trigger, event: CloudEvent) -> Outcome:
        while trigger.name in self._held:
            await self._held[trigger.name].wait()
        self.under_way[trigger.name] += 1
        try:
            return await self._real(trigger, event)
        finally:
            self.under_way[trigger.name] -= 1

    @property
    def empty(self) -> bool:
        """Whether nothing is left in them."""
        return not any(self.under_way.values())

    async def let_go(self) -> None:
        """Deliver what was kept for the end."""


class BadHands(Hands):
    """
    Delivers every event twice, each time after a delay of its own, and half of them the second time at the very end.

    The broker is told "done" at once, so neither its order nor its retries protect anybody.

    Attributes:
        arrived: per trigger, what came in, in this order.
        refused: what an operation would have sent to the dead letters.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.arrived: defaultdict[str, list[CloudEvent]] = defaultdict(list)
        self.refused: list[tuple[str, CloudEvent, Outcome]] = []
        self._random = random
        self._late: list[tuple[Trigger, CloudEvent]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, trigger: Trigger, event: CloudEvent) -> Outcome:
        self._send(trigger, event)
        if self._random.random() < 0.5:
            self._send(trigger, event)
        else:
            self._late.append((trigger, event))
        return DONE

    @property
    def empty(self) -> bool:
        return not self._tasks

    async def let_go(self) -> None:
        late, self._late = self._late, []
        self._random.shuffle(late)
        for trigger, event in late:
            self._send(trigger, event)

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

    def _send(self, trigger: Trigger, event: CloudEvent) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(trigger, event, self._random.random() * DELAY_S))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, trigger: Trigger, event: CloudEvent, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while (outcome := await super().deliver(trigger, event)).verdict == "again":  # noqa: ASYNC110  # a broker's backoff
            await asyncio.sleep(AGAIN_S * (1 + self._random.random()))
        self.arrived[trigger.name].append(event)
        if outcome.verdict == "never":
            self.refused.append((trigger.name, event, outcome))
