"""An event that a trigger gave up → dead_letters, with its cause, to be seen and replayed"""

from runtime import cloudevents
from runtime.deps import Deps
from runtime.serve import Received, on_anything, operation
from shop.db import dead_letters


async def keep(event: Received[bytes], deps: Deps) -> None:
    """
    Keep it once per trigger and event; one that was replayed and failed again waits again.

    Which trigger it was, the path says: after a timeout Knative's broker says nothing of it in the event.
    """
    async with deps.db.transaction() as tx:
        await dead_letters.keep(tx, event.envelope, cloudevents.structured(event.envelope).decode(), event.path)


keep_dead_letter = operation("keep_dead_letter", events=[on_anything(keep)])
