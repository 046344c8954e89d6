"""Queues replays of dead letters for the relay, on clusters whose broker has no replay."""

from datetime import datetime, timedelta
from typing import NamedTuple

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.printable import decoded

AT_ONCE = 100
# The lease in replay_due_at lets another relay take the row after a relay died while replaying.
_TAKE = """
    UPDATE dead_letters SET replay_due_at = %s WHERE dead_letter_id IN (
        SELECT dead_letter_id FROM dead_letters WHERE replay_due_at <= %s
        ORDER BY dead_letter_id LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING dead_letter_id, trigger, coalesce(raw, convert_to(event::text, 'UTF8')), signed
"""
_FAILED = """
    UPDATE dead_letters SET replay_due_at = NULL, replayed_at = NULL, error_dest = %s, error_code = %s,
        error_data = %s, received_at = %s
    WHERE dead_letter_id = %s
"""


class Replay(NamedTuple):
    """
    A queued replay: ``raw`` is encoded by ``pulsecart.broker.dead_letters.letters``; ``signed`` is true when the event
    had a valid signature as its dead letter was stored.
    """

    id: int
    trigger: str
    raw: bytes
    signed: bool


async def take(tx: Tx, lease_s: float) -> list[Replay]:
    """Lease up to AT_ONCE replays that are due, oldest first; for ``lease_s`` no other relay takes them."""
    rows = await tx.rows(_TAKE, (tx.now + timedelta(seconds=lease_s), tx.now, AT_ONCE))
    return sorted(Replay(id, trigger, bytes(raw or b""), signed) for id, trigger, raw, signed in rows)


async def arrived(tx: Tx, replay: Replay) -> None:
    await tx.execute("UPDATE dead_letters SET replay_due_at = NULL WHERE dead_letter_id = %s", (replay.id,))


async def failed(tx: Tx, replay: Replay, dest: str, code: int, cause: bytes) -> None:
    """Reopen the dead letter with its new cause."""
    await tx.execute(_FAILED, (dest, code or None, decoded(cause), tx.now, replay.id))


async def next_due(tx: Tx) -> datetime | None:
    row = await tx.row("SELECT min(replay_due_at) FROM dead_letters")
    return row[0] if row else None
