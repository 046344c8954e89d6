"""Stores each event that a trigger gave up in dead_letters, with its cause, to be inspected, replayed or discarded."""

from pulsecart.broker.dead_letters import letters, table
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Forbidden
from pulsecart.serving.http import Request
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on_anything

BODY_MAX = 8 * 1024 * 1024  # above any broker's limit; a rejected dead letter would be lost
UNSIGNED_MAX = 1_000  # any pod that reaches this operation can post unsigned letters


async def keep(event: Received[bytes], deps: Deps) -> None:
    """
    Store the dead letter once per trigger and event; a letter that was replayed and failed again waits again.

    The path names the trigger: after a timeout Knative's broker does not name it in the event. A letter without a
    valid signature is stored too, so that an operator sees it, but never replaces another.

    Raises:
        Forbidden: the signature is missing or invalid, and UNSIGNED_MAX such letters are already stored.
    """
    await _keep(event.envelope, letters.raw_of(event.envelope), event.path, deps, signed=event.signed)


async def keep_unreadable(request: Request, reason: str, deps: Deps) -> None:
    """Store a message that we cannot parse as a CloudEvent: Knative's broker carries more than we accept."""
    event, raw = letters.unreadable(request.headers, request.body, reason)
    await _keep(event, raw, request.path, deps, signed=False)


async def _keep(event: CloudEvent, raw: bytes, path: str, deps: Deps, *, signed: bool) -> None:
    async with deps.db.transaction() as tx:
        if not signed:
            await _check_room(tx)
        await table.keep(tx, event, raw, path, signed=signed)
    if deps.settings.broker_url:  # the local broker logs its dead letters itself
        letters.log_letter(letters.trigger_of(path, event.extensions.get("knativeerrordest", "")), event)


async def _check_room(tx: Tx) -> None:
    if await table.unsigned(tx, UNSIGNED_MAX) >= UNSIGNED_MAX:
        raise Forbidden(
            "too-many-unsigned", f"{UNSIGNED_MAX} unsigned dead letters are stored, which is the limit; discard some."
        )


keep_dead_letter = operation(
    "keep_dead_letter",
    events=[on_anything(keep, unchecked=True)],
    unreadable=keep_unreadable,
    max_body_bytes=BODY_MAX,
    takes_unsigned=True,
)
