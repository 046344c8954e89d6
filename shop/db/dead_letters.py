"""Events that a trigger gave up, with the cause that Knative put beside them."""

import base64
import binascii
from urllib.parse import urlsplit

from shop.db.pool import Tx
from shop.event import CloudEvent


async def keep(tx: Tx, event: CloudEvent, structured: str, at: str = "") -> None:
    """
    Write one, once per trigger and event; one that comes again waits again.

    Args:
        at: the path that it came to, or the trigger that failed; where that says none, the URL that failed does.
    """
    dest = event.extensions.get("knativeerrordest", "")
    code = event.extensions.get("knativeerrorcode", "")
    await tx.execute(
        """
        INSERT INTO dead_letters AS d
            (trigger, event_id, source, type, event, error_dest, error_code, error_data, received_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (trigger, source, event_id) DO UPDATE SET
            event = excluded.event, error_dest = excluded.error_dest, error_code = excluded.error_code,
            error_data = excluded.error_data, received_at = excluded.received_at, replayed_at = NULL
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
        ),
    )


def trigger_of(*addresses: str) -> str:
    """The trigger, which is the last part of its subscriber's URL, and of its dead letters': the first that has one."""
    parts = (urlsplit(address).path.rstrip("/").rpartition("/")[2] for address in addresses)
    return next(filter(None, parts), "unknown")


def _readable(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode(errors="replace").replace("\0", "")
    except (binascii.Error, ValueError):
        return data.replace("\0", "")
