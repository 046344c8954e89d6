"""Pulls messages of Google Pub/Sub subscriptions while there are some, and acknowledges each after its COMMIT."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from pulsecart.bridges.pubsub.names import subscription_path
from pulsecart.bridges.pubsub.puller import Leased, Puller
from pulsecart.broker.pubsub_ingress import PubSubIngress
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem, Unavailable
from pulsecart.serving.operation import operation
from pulsecart.shop.partners.events import FulfilmentReported, StockReported


async def stay_awake(deps: Deps) -> None:
    """Pull every subscription of PUBSUB_PULL until it has no message; a wake-up or tick pulls again."""
    if deps.settings.pubsub_pull:
        pulling = deps.singleton(Pulling)
        pulling.more = True
        await deps.wake_ups.stay_awake("pubsub_pull", pulling.due, pulling.pull)


class Pulling:
    """
    Pulls all subscriptions; one per process.

    ``more``: there may be messages.
    """

    def __init__(self, deps: Deps) -> None:
        self._now = deps.clock.now
        self._ingress = PubSubIngress(deps, "pubsub-pull", deps.settings.pubsub_pull)
        self.puller = Puller(deps.settings.pubsub_emulator_host)
        self._subscriptions = [
            subscription_path(deps.settings.pubsub_project, name) for name in self._ingress.subscriptions
        ]
        self.more = True
        deps.closing.append(self.puller.close)

    async def due(self) -> datetime | None:
        """Return the current time while there may be messages."""
        return self._now() if self.more else None

    async def pull(self) -> None:
        """
        Pull one batch of each subscription, and write its events to the log.

        Raises:
            Unavailable: Pub/Sub or PostgreSQL cannot be reached; the other subscriptions were pulled nevertheless.
        """
        self.more = False
        pulled = await asyncio.gather(*map(self._pull, self._subscriptions), return_exceptions=True)
        self.more = True in pulled
        for result in pulled:
            if isinstance(result, BaseException):
                raise result

    async def _pull(self, subscription: str) -> bool:
        """Return whether any message was finished; if not, the next tick continues."""
        leased = await self.puller.pull(subscription)
        taken = await asyncio.gather(*(self._ingress.take(one.message) for one in leased), return_exceptions=True)
        done, rejected, failures = _sorted(leased, taken)
        await self.puller.acknowledge(subscription, done)
        await self.puller.give_back(subscription, rejected)
        for failure in failures:
            raise failure
        return bool(leased)


def _sorted(
    leased: Sequence[Leased], taken: Sequence[Problem | BaseException | None]
) -> tuple[list[Leased], list[Leased], list[BaseException]]:
    """
    Return the messages to acknowledge, those to give back, and the failures, whose messages keep their lease.

    A rejected message goes back, so that Pub/Sub moves it to its dead-letter topic after the last attempt. Without such
    a topic it would come for days: it is acknowledged, because it is a dead letter here.
    """
    done, rejected, failures = [], [], []
    for one, result in zip(leased, taken, strict=True):
        if result is not None and (not isinstance(result, Problem) or isinstance(result, Unavailable)):
            failures.append(result)
        elif result is not None and one.message.attempt:
            rejected.append(one)
        else:
            done.append(one)
    return done, rejected, failures


pubsub_pull = operation("pubsub_pull", wake=stay_awake, emits=[FulfilmentReported, StockReported])
