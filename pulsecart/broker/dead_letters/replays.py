"""Sends queued dead letters to the subscriber that failed, and to no other; Knative has no such replay."""

from collections.abc import Callable, Mapping

from pulsecart.broker.courier import Courier
from pulsecart.broker.dead_letters import letters, table
from pulsecart.broker.delivery import Destination, Outcome
from pulsecart.runtime.db.database import Database
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Problem
from pulsecart.serving import cloudevents

LEASE_S = 600.0
NO_TRIGGER = Outcome("never", data=b"The Trigger does not exist any more, so nothing was delivered.")
Sign = Callable[[CloudEvent], CloudEvent]


async def replay(
    db: Database, sign: Sign, courier: Courier, subscribers: Mapping[str, Destination], timeout_s: float
) -> None:
    """
    Send each queued replay once; after a new failure it is an open dead letter with the new cause.

    Args:
        sign: adds a current signature to an event whose signature was valid when its dead letter was stored.
        subscribers: the subscriber of every Trigger, by the Trigger's name.
    """
    while taken := await _taken(db):
        for requested in taken:
            subscriber = subscribers.get(requested.trigger)
            message = _message(requested, sign)
            outcome = NO_TRIGGER if subscriber is None else await courier.send(subscriber, *message, timeout_s)
            async with db.transaction() as tx:
                if outcome.verdict == "done":
                    await table.replay_arrived(tx, requested)
                else:
                    url = subscriber.url if subscriber else ""
                    await table.replay_failed(tx, requested, url, outcome.code, outcome.data)


def _message(requested: table.Replay, sign: Sign) -> tuple[Mapping[str, str], bytes]:
    """Build the message; an event stored without a valid signature is sent unchanged, and is rejected again."""
    headers, body = letters.message(requested.raw)
    if requested.signed:
        try:
            return cloudevents.binary(sign(cloudevents.decode(headers, body)))
        except Problem:
            pass
    return headers, body


async def _taken(db: Database) -> list[table.Replay]:
    async with db.transaction() as tx:
        return await table.take_replays(tx, LEASE_S)
