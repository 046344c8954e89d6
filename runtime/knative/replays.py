"""Dead letters sent once more to the subscriber that failed, and to no other: what Knative itself cannot do."""

from collections.abc import Mapping

from msgspec import json
from msgspec.structs import replace

from runtime import cloudevents
from runtime.knative.courier import Courier
from runtime.knative.delivery import Destination, Outcome, dead_letter
from shop.db import dead_letters, replays
from shop.db.pool import Database
from shop.event import CloudEvent

LEASE_S = 600.0
NOWHERE = Destination(None, "")
NO_TRIGGER = Outcome("never", data=b"There is no such Trigger any more, so nobody was asked.")
ERRORS = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")


async def replay(db: Database, courier: Courier, subscribers: Mapping[str, Destination], timeout_s: float) -> None:
    """
    Each that was asked for, once: one that fails again is a dead letter again, with its new cause.

    Args:
        subscribers: of every Trigger there is, by its name.
    """
    async with db.transaction() as tx:
        taken = await replays.take(tx, LEASE_S)
    for asked in taken:
        event = _as_it_was(asked)
        subscriber = subscribers.get(asked.trigger, NOWHERE)
        outcome = NO_TRIGGER if subscriber is NOWHERE else await courier(subscriber, event, timeout_s)
        async with db.transaction() as tx:
            if outcome.verdict != "done":
                letter = dead_letter(event, subscriber, outcome.code, outcome.data)
                await dead_letters.keep(tx, letter, cloudevents.structured(letter).decode(), asked.trigger)
            await replays.done(tx, [asked])


def _as_it_was(asked: replays.Replay) -> CloudEvent:
    kept = cloudevents.decode({"content-type": "application/cloudevents+json"}, json.encode(asked.event))
    return replace(kept, extensions={name: v for name, v in kept.extensions.items() if name not in ERRORS})
