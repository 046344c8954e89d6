"""An event that a trigger gave up → dead_letters, with its cause, to be seen and replayed"""

from runtime import cloudevents
from runtime.deps import Deps
from runtime.serve import Received, on_anything, operation
from shop.db import dead_letters
from shop.db.pool import Tx
from shop.problem import Forbidden

UNSIGNED_MAX = 1_000  # any pod that reaches this operation can post some


async def keep(event: Received[bytes], deps: Deps) -> None:
    """
    Keep it once per trigger and event; one that was replayed and failed again waits again.

    Which trigger it was, the path says: after a timeout Knative's broker says nothing of it in the event. One without a
    valid signature is kept too, so that it is seen, but never in the place of another.

    Raises:
        Forbidden: it has no valid signature, and so have UNSIGNED_MAX that are kept.
    """
    async with deps.db.transaction() as tx:
        if not event.signed:
            await _keep_unsigned(tx, event)
            return
        await dead_letters.keep(tx, event.envelope, cloudevents.structured(event.envelope).decode(), event.path)


async def _keep_unsigned(tx: Tx, event: Received[bytes]) -> None:
    if await dead_letters.unsigned(tx, UNSIGNED_MAX) >= UNSIGNED_MAX:
        raise Forbidden("too-many-unsigned", f"{UNSIGNED_MAX} unsigned dead letters are kept already.")
    structured = cloudevents.structured(event.envelope).decode()
    await dead_letters.keep(tx, event.envelope, structured, event.path, signed=False)


keep_dead_letter = operation("keep_dead_letter", events=[on_anything(keep)], takes_unsigned=True)
