"""
Stores dead letters: events that a trigger gave up on, with the error that Knative attached.

Storing always succeeds: the event is kept as bytes, its key has a bounded length, and text from outside is escaped
where PostgreSQL would reject it.
"""

import base64
import binascii
import hashlib
from urllib.parse import urlsplit

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.printable import decoded, shortened, storable

KEY_BYTES = 600  # limit for each of source and id; an index row holds about 2,700
NAME_MAX = 253
CAUSE_MAX = 65_536  # characters; ``raw`` holds the whole text
CODE_DIGITS = 9

KEEP = """
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


async def keep(tx: Tx, event: CloudEvent, raw: bytes | str, at: str = "", *, signed: bool = True) -> None:
    """
    Store one dead letter per trigger and event; a repeated one is open again, even if it had been discarded.

    Args:
        raw: the whole event, as ``pulsecart.broker.dead_letters.letters`` writes and reads it.
        at: the path that received it, or the failed trigger; if it names no trigger, the failed URL does.
        signed: the signature is valid, or this process sent it; an unsigned dead letter never replaces a stored one.
    """
    dest, code = event.extensions.get("knativeerrordest", ""), event.extensions.get("knativeerrorcode", "")
    row = {
        "trigger": shortened(storable(trigger_of(at, dest)), NAME_MAX),
        "id": key_of(event.id),
        "source": key_of(event.source),
        "type": storable(event.type),
        "raw": raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"),
        "key": storable(event.partitionkey),
        "dest": storable(dest),
        "code": int(code) if code.isascii() and code.isdigit() and len(code) <= CODE_DIGITS else None,
        "cause": cause_of(event),
        "now": tx.now,
        "signed": signed,
    }
    await tx.execute(KEEP, row)


async def open_ones(tx: Tx) -> int:
    """Count the open dead letters: neither replayed nor discarded, so an operator must decide."""
    row = await tx.row("SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND discarded_at IS NULL")
    return int(row[0]) if row else 0


def key_of(text: str) -> str:
    """Return ``text`` if it is short and storable, otherwise its beginning and its SHA-256."""
    whole = text.encode("utf-8", "surrogatepass")
    clean = storable(text)
    if clean == text and len(whole) <= KEY_BYTES:
        return text
    return f"{clean[: KEY_BYTES // 8]}… sha256:{hashlib.sha256(whole).hexdigest()}"


def cause_of(event: CloudEvent) -> str:
    """Return the failed subscriber's reply, as text."""
    data = event.extensions.get("knativeerrordata", "")
    try:
        text = decoded(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        text = storable(data)
    return shortened(text, CAUSE_MAX)


async def unsigned(tx: Tx, limit: int) -> int:
    """Count the kept dead letters without a valid signature, up to ``limit``."""
    row = await tx.row(
        "SELECT count(*) FROM (SELECT FROM dead_letters WHERE NOT signed AND discarded_at IS NULL LIMIT %s)", (limit,)
    )
    return int(row[0]) if row else 0


def trigger_of(*addresses: str) -> str:
    """Return the trigger's name: the last path segment of the first address that has one, or ``unknown``."""
    return next(filter(None, map(_last_part, addresses)), "unknown")


def _last_part(address: str) -> str:
    try:
        path = urlsplit(address).path
    except ValueError:  # such as a malformed IPv6 address
        path = address
    return path.rstrip("/").rpartition("/")[2]
