"""Dead letters sent once more to the subscriber that failed, and to no other: what Knative itself cannot do."""

from msgspec import json
from msgspec.structs import replace

from runtime import cloudevents
from runtime.knative.courier import Courier
from runtime.knative.delivery import Destination, dead_letter
from shop.db import dead_letters, replays
from shop.db.pool import Database
from shop.event import CloudEvent

LEASE_S = 600.0
ERRORS = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")


async def replay(db: Database, courier: Courier, timeout_s: float) -> None:
    """Each that was asked for, once: one that fails again is a dead letter again, with its new cause."""
    async with db.transaction() as tx:
        taken = await replays.take(tx, LEASE_S)
    for asked in taken:
        event = _as_it_was(asked)
        subscriber = Destination(None, asked.url)
        outcome = await courier(subscriber, event, timeout_s)
        async with db.transaction() as tx:
            if outcome.verdict != "done":
                letter = dead_letter(event, subscriber, outcome.code, outcome.data)
                await dead_letters.keep(tx, letter, cloudevents.structured(letter).decode())
            await replays.done(tx, [asked])


def _as_it_was(asked: replays.Replay) -> CloudEvent:
    kept = cloudevents.decode({"content-type": "application/cloudevents+json"}, json.encode(asked.event))
    return replace(kept, extensions={name: v for name, v in kept.extensions.items() if name not in ERRORS})
