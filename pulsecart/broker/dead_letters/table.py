"""
Stores dead letters: events that a trigger gave up on, with the error that Knative attached, and their queued replays.

Storing always succeeds: the event is kept as bytes, its key has a bounded length, and text from outside is escaped
where PostgreSQL would reject it.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pulsecart.broker.dead_letters.letters import cause_of, trigger_of
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.fresh import Fresh
from pulsecart.runtime.printable import decoded, shortened, storable
from pulsecart.runtime.problem import Unavailable

KEY_BYTES = 600  # limit for each of source and id; an index row holds about 2,700
NAME_MAX = 253
CODE_DIGITS = 9
REPLAYS_AT_ONCE = 100
COUNT_S = 2.0
OPEN = "replayed_at IS NULL AND discarded_at IS NULL"
RAW = "coalesce(raw, convert_to(event::text, 'UTF8'))"  # rows of old releases have no ``raw``

_KEEP = """
    INSERT INTO dead_letters AS d
        (trigger, event_id, source, type, raw, event, partitionkey, error_dest, error_code, error_data, received_at,
         signed)
    VALUES (%(trigger)s, %(id)s, %(source)s, %(type)s, %(raw)s, json_body(%(raw)s)::json, %(key)s, %(dest)s, %(code)s,
        %(cause)s, %(now)s, %(signed)s)
    ON CONFLICT (trigger, source, event_id) DO UPDATE SET
        raw = excluded.raw, event = excluded.event, partitionkey = excluded.partitionkey,
        error_dest = excluded.error_dest, error_code = excluded.error_code, error_data = excluded.error_data,
        received_at = excluded.received_at, signed = true, replayed_at = NULL, discarded_at = NULL
    WHERE excluded.signed
"""
# The lease in replay_due_at lets another relay take the row after a relay died while replaying.
_TAKE = f"""
    UPDATE dead_letters SET replay_due_at = %s WHERE dead_letter_id IN (
        SELECT dead_letter_id FROM dead_letters WHERE replay_due_at <= %s
        ORDER BY dead_letter_id LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING dead_letter_id, trigger, {RAW}, signed
"""
_FAILED = """
    UPDATE dead_letters SET replay_due_at = NULL, replayed_at = NULL, error_dest = %s, error_code = %s,
        error_data = %s, received_at = %s
    WHERE dead_letter_id = %s
"""


class Place(NamedTuple):
    """The key of a dead letter: source and id of the event are shortened if they are long."""

    trigger: str
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Holds the time and reason of a dead letter, and an operator's decision about it."""

    at: datetime
    error_code: int | None
    error_data: str | None
    replayed_at: datetime | None
    discarded_at: datetime | None


class Replay(NamedTuple):
    """A queued replay; ``signed`` is true when the event had a valid signature as its dead letter was stored."""

    id: int
    trigger: str
    raw: bytes
    signed: bool


class OpenLetters:
    """Counts the open dead letters once for concurrent requests; one per process."""

    def __init__(self, deps: Deps) -> None:
        self.count = Fresh(lambda: _count(deps), keep_s=0)


async def keep(tx: Tx, event: CloudEvent, raw: bytes | str, at: str = "", *, signed: bool = True) -> None:
    """
    Store one dead letter per trigger and event; a repeated one is open again, even if it had been discarded.

    Args:
        raw: the whole event, as ``letters`` writes and reads it.
        at: the path that received it, or the failed trigger; if it names no trigger, the failed URL does.
        signed: the signature is valid, or this process sent it; an unsigned dead letter never replaces a stored one.
    """
    dest, code = event.extensions.get("knativeerrordest", ""), event.extensions.get("knativeerrorcode", "")
    place = place_of(shortened(storable(trigger_of(at, dest)), NAME_MAX), event)
    row = {
        **place._asdict(),
        "type": storable(event.type),
        "raw": raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"),
        "key": storable(event.partitionkey),
        "dest": storable(dest),
        "code": int(code) if code.isascii() and code.isdigit() and len(code) <= CODE_DIGITS else None,
        "cause": cause_of(event),
        "now": tx.now,
        "signed": signed,
    }
    await tx.execute(_KEEP, row)


async def open_ones(tx: Tx) -> int:
    """Count the open dead letters: neither replayed nor discarded, so an operator must decide."""
    row = await tx.row(f"SELECT count(*) FROM dead_letters WHERE {OPEN}")
    return int(row[0]) if row else 0


async def _count(deps: Deps) -> int:
    """Count the open dead letters; 0 while PostgreSQL does not answer."""
    try:
        async with asyncio.timeout(COUNT_S), deps.db.transaction() as tx:
            return await open_ones(tx)
    except (Unavailable, TimeoutError):
        return 0


async def unsigned(tx: Tx, limit: int) -> int:
    """Count the kept dead letters without a valid signature, up to ``limit``."""
    row = await tx.row(
        "SELECT count(*) FROM (SELECT FROM dead_letters WHERE NOT signed AND discarded_at IS NULL LIMIT %s)", (limit,)
    )
    return int(row[0]) if row else 0


async def given_up(tx: Tx, triggers: Sequence[str], events: Iterable[CloudEvent]) -> dict[Place, GivenUp]:
    """Return the dead letters of these events and triggers."""
    places = {place_of("", event) for event in events}
    rows = await tx.rows(
        "SELECT trigger, source, event_id, received_at, error_code, error_data, replayed_at, discarded_at"
        " FROM dead_letters WHERE trigger = ANY(%s) AND source = ANY(%s) AND event_id = ANY(%s)",
        (list(triggers), [place.source for place in places], [place.id for place in places]),
    )
    return {Place(*row[:3]): GivenUp(*row[3:]) for row in rows}


async def take_replays(tx: Tx, lease_s: float) -> list[Replay]:
    """Lease up to REPLAYS_AT_ONCE replays that are due, oldest first; for ``lease_s`` no other relay takes them."""
    rows = await tx.rows(_TAKE, (tx.now + timedelta(seconds=lease_s), tx.now, REPLAYS_AT_ONCE))
    return sorted(Replay(id, trigger, bytes(raw or b""), signed) for id, trigger, raw, signed in rows)


async def replay_arrived(tx: Tx, replay: Replay) -> None:
    await tx.execute("UPDATE dead_letters SET replay_due_at = NULL WHERE dead_letter_id = %s", (replay.id,))


async def replay_failed(tx: Tx, replay: Replay, dest: str, code: int, cause: bytes) -> None:
    """Reopen the dead letter with its new cause."""
    await tx.execute(_FAILED, (dest, code or None, decoded(cause), tx.now, replay.id))


async def next_replay(tx: Tx) -> datetime | None:
    """Return when the next queued replay is due."""
    row = await tx.row("SELECT min(replay_due_at) FROM dead_letters")
    return row[0] if row else None


def place_of(trigger: str, event: CloudEvent) -> Place:
    return Place(trigger, _key(event.source), _key(event.id))


def _key(text: str) -> str:
    """Return ``text`` if it is short and storable, otherwise its beginning and its SHA-256."""
    whole = text.encode("utf-8", "surrogatepass")
    clean = storable(text)
    if clean == text and len(whole) <= KEY_BYTES:
        return text
    return f"{clean[: KEY_BYTES // 8]}… sha256:{hashlib.sha256(whole).hexdigest()}"
