"""Accepts events for a Broker: ``POST /broker/<namespace>/<broker>`` returns 202 once the event is durable."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from pulsecart.broker.status import Pressure
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.bounds import check_event
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import NotFound, Unavailable
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.replies import reply_of

if TYPE_CHECKING:
    from pulsecart.runtime.db.database import Database

COMMIT_MAX = 256


class Ingress:
    """
    The HTTP endpoint of the Brokers.

    Args:
        brokers: (namespace, name) of each Broker.
        validate: raises Malformed for an event that breaks its contract.
        committed: called after events were committed to the log.
    """

    def __init__(
        self,
        db: "Database",
        brokers: Collection[tuple[str, str]],
        *,
        validate: Callable[[CloudEvent], None],
        pressure: Callable[[], Pressure],
        committed: Callable[[], None],
    ) -> None:
        self._db = db
        self._brokers = brokers
        self._validate = validate
        self._pressure = pressure
        self._committed = committed
        self._commits: Batcher[CloudEvent, None] = Batcher(self._commit, size_max=COMMIT_MAX)

    async def answer(self, request: Request, namespace: str, broker: str) -> Reply:
        """Return 202, or problem+json with 400, 404, 405, 415 or 503."""
        try:
            if (namespace, broker) not in self._brokers:
                raise NotFound("no-such-broker", f"There is no Broker {broker} in namespace {namespace}.")
            if request.method != "POST":
                return Reply(405, headers=(("allow", "POST"),))
            pressure = self._pressure()
            if pressure.overloaded:
                raise Unavailable(
                    "overloaded",
                    "The broker's deliveries lag behind. Send the event again later.",
                    pressure.retry_after_s,
                )
            await self.append(cloudevents.decode(request.headers, request.body))
        except Exception as error:
            return reply_of(error)
        return Reply(202)

    async def append(self, event: CloudEvent) -> None:
        """
        Store the event and return once it is durable; concurrent events share a transaction.

        Raises:
            Malformed: the event breaks its contract, or holds values that cannot be stored.
            Unavailable: PostgreSQL cannot be reached; the event may or may not be stored.
        """
        check_event(event)
        self._validate(event)
        await self._commits.submit(event)

    async def _commit(self, events: list[CloudEvent]) -> Sequence[None]:
        async with self._db.transaction() as tx:
            tx.events.extend(events)
        asyncio.get_running_loop().call_soon(self._committed)  # not inline: its error must not fail a finished commit
        return [None] * len(events)
