"""Dead letters sent once more to the subscriber that failed, and to no other: what Knative itself cannot do."""

from collections.abc import Mapping

from runtime import letters
from runtime.knative.courier import Courier
from runtime.knative.delivery import Destination, Outcome
from shop.db import replays
from shop.db.pool import Database

LEASE_S = 600.0
NO_TRIGGER = Outcome("never", data=b"There is no such Trigger any more, so nobody was asked.")


async def replay(db: Database, courier: Courier, subscribers: Mapping[str, Destination], timeout_s: float) -> None:
    """
    Each that was asked for, once: one that fails again is a dead letter again, with its new cause.

    Args:
        subscribers: of every Trigger there is, by its name.
    """
    while taken := await _taken(db):
        for asked in taken:
            subscriber = subscribers.get(asked.trigger)
            message = letters.message(asked.raw)
            outcome = NO_TRIGGER if subscriber is None else await courier.send(subscriber, *message, timeout_s)
            async with db.transaction() as tx:
                if outcome.verdict == "done":
                    await replays.arrived(tx, asked)
                else:
                    await replays.failed(tx, asked, subscriber.url if subscriber else "", outcome.code, outcome.data)


async def _taken(db: Database) -> list[replays.Replay]:
    async with db.transaction() as tx:
        return await replays.take(tx, LEASE_S)
