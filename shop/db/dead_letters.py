"""Events that a trigger gave up, with the cause that Knative put beside them."""

import base64
import binascii
from urllib.parse import urlsplit

from shop.db.pool import Tx
from shop.event import CloudEvent


async def keep(tx: Tx, event: CloudEvent, structured: str, at: str = "", *, signed: bool = True) -> None:
    """
    Write one, once per trigger and event; one that comes again waits again.

    Args:
        at: the path that it came to, or the trigger that failed; where that says none, the URL that failed does.
        signed: its signature is valid, or it came from this process; one that is not replaces none that is kept.
    """
    dest = event.extensions.get("knativeerrordest", "")
    code = event.extensions.get("knativeerrorcode", "")
    await tx.execute(
        """
        INSERT INTO dead_letters AS d
            (trigger, event_id, source, type, event, error_dest, error_code, error_data, received_at, signed)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (trigger, source, event_id) DO UPDATE SET
            event = excluded.event, error_dest = excluded.error_dest, error_code = excluded.error_code,
            error_data = excluded.error_data, received_at = excluded.received_at, signed = true, replayed_at = NULL
        WHERE excluded.signed
        """,
        (
            trigger_of(at, dest),
            event.id,
            event.source,
            event.type,
            structured,
            dest,
            int(code) if code.isdecimal() else None,
            _readable(event.extensions.get("knativeerrordata", "")),
            tx.now,
            signed,
        ),
    )


async def unsigned(tx: Tx, limit: int) -> int:
    """How many without a valid signature are kept, counted up to ``limit``."""
    row = await tx.row("SELECT count(*) FROM (SELECT FROM dead_letters WHERE NOT signed LIMIT %s)", (limit,))
    return int(row[0]) if row else 0


def trigger_of(*addresses: str) -> str:
    """The trigger, which is the last part of its subscriber's URL, and of its dead letters': the first that has one."""
    parts = (urlsplit(address).path.rstrip("/").rpartition("/")[2] for address in addresses)
    return next(filter(None, parts), "unknown")


def _readable(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode(errors="replace").replace("\0", "")
    except (binascii.Error, ValueError):
        return data.replace("\0", "")
