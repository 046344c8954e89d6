"""
The broker at its worst: every event delivered more than once, late, and in any order, within keys too.

    double = Double(seed=1)
    broker = LocalKnative(operations, eventing, deps, deliver=double)
    …
    await double.quiet()
"""

import asyncio
import random
from collections import Counter

from runtime.knative.config import Trigger
from runtime.knative.delivery import DONE, Outcome
from runtime.knative.trigger import Deliver
from shop.event import CloudEvent

AGAIN_S = 0.02


class Double:
    """
    Tells the broker that all is done, and delivers behind its back.

    Args:
        copies: deliveries of each event to each trigger, side by side.
        delay_s: the longest that one is held back.

    ``given_up`` are what a consumer refused for good, by trigger: dead letters, had the broker been asked.
    """

    def __init__(self, seed: int, copies: int = 2, delay_s: float = 0.2) -> None:
        self._dice = random.Random(seed)
        self._copies = copies
        self._delay_s = delay_s
        self._under_way: set[asyncio.Task[None]] = set()
        self.delivered: Counter[str] = Counter()
        self.given_up: list[tuple[str, CloudEvent, Outcome]] = []

    def __call__(self, real: Deliver) -> Deliver:
        """What a LocalKnative takes as its ``deliver``."""

        async def deliver(trigger: Trigger, event: CloudEvent) -> Outcome:
            for _ in range(self._copies):
                task = asyncio.create_task(self._later(real, trigger, event, self._dice.uniform(0, self._delay_s)))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            return DONE

        return deliver

    async def quiet(self) -> None:
        """Wait until nothing is held back or under way; what that led to in the log may be on its way here."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def _later(self, real: Deliver, trigger: Trigger, event: CloudEvent, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while (outcome := await real(trigger, event)).verdict == "again":  # noqa: ASYNC110  # its answer is the event
            await asyncio.sleep(AGAIN_S)
        if outcome.verdict == "done":
            self.delivered[trigger.name] += 1
        else:
            self.given_up.append((trigger.name, event, outcome))
