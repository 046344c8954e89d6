"""Dead letters on their way to the trigger that failed, where a cluster's broker has no replay of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shop.db.pool import Tx

# A relay that dies while it replays leaves the row to the next one, after this long.
_TAKE = """
WITH taken AS (
    UPDATE trigger_backlog SET due_at = %s WHERE due_at <= %s AND trigger NOT LIKE '/%%' RETURNING trigger, position
)
SELECT trigger, position FROM taken ORDER BY position
"""


class Replay(NamedTuple):
    """The event at ``position`` of the log, for ``trigger``."""

    trigger: str
    position: int


async def take(tx: Tx, lease_s: float) -> list[Replay]:
    """Those that are due; for ``lease_s`` they are nobody else's."""
    rows = await tx.rows(_TAKE, (tx.now + timedelta(seconds=lease_s), tx.now))
    return [Replay(*row) for row in rows]


async def done(tx: Tx, replays: Sequence[Replay]) -> None:
    """They arrived, or are dead letters again."""
    for replay in replays:
        await tx.execute(
            "DELETE FROM trigger_backlog WHERE trigger = %s AND position = %s", (replay.trigger, replay.position)
        )


async def next_due(tx: Tx) -> datetime | None:
    row = await tx.row("SELECT min(due_at) FROM trigger_backlog WHERE trigger NOT LIKE '/%%'")
    return row[0] if row else None
