"""Dead letters sent once more to the subscriber that failed, and to no other: what Knative itself cannot do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from runtime import cloudevents
from runtime.knative.courier import Courier
from runtime.knative.delivery import Destination, Outcome, dead_letter
from shop.db import dead_letters, replays
from shop.db.pool import Database
from shop.event import CloudEvent

Read = Callable[[Sequence[int]], Awaitable[Mapping[int, CloudEvent]]]
LEASE_S = 600.0
NOWHERE = Destination(None, "")
NO_TRIGGER = Outcome("never", data=b"There is no such Trigger any more, so nobody was asked.")


async def replay(
    db: Database, read: Read, courier: Courier, subscribers: Mapping[str, Destination], timeout_s: float
) -> None:
    """
    Each that was asked for, once: one that fails again is a dead letter again, with its new cause. What is sent is the
    event of the log, whatever the dead letter holds: that one came from outside.

    Args:
        read: the events at positions of the log, ready to be sent.
        subscribers: of every Trigger there is, by its name.
    """
    async with db.transaction() as tx:
        taken = await replays.take(tx, LEASE_S)
    events = await read([asked.position for asked in taken]) if taken else {}
    for asked in taken:
        event = events[asked.position]
        subscriber = subscribers.get(asked.trigger, NOWHERE)
        outcome = NO_TRIGGER if subscriber is NOWHERE else await courier(subscriber, event, timeout_s)
        async with db.transaction() as tx:
            if outcome.verdict != "done":
                letter = dead_letter(event, subscriber, outcome.code, outcome.data)
                await dead_letters.keep(tx, letter, cloudevents.structured(letter).decode(), asked.trigger)
            await replays.done(tx, [asked])
