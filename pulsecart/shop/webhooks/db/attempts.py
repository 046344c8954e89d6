"""Stores webhook_delivery_attempts: each before it is sent, and completed with its result."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.printable import shortened, storable
from pulsecart.shop.webhooks.attempt import Attempt, Result

ERROR_MAX = 500
BODY_MAX = 4096  # of an answer; the rest is not kept
HEADERS_MAX = 50
HEADER_MAX = 500
BEGIN = """
    INSERT INTO webhook_delivery_attempts (message_id, number, subscription_id, probe, url, content_mode, began_at,
                                           request_headers)
    SELECT message_id, number, subscription_id, probe, url, content_mode, %s, headers
    FROM json_to_recordset(%s::json) AS t (message_id uuid, number int, subscription_id uuid, probe boolean, url text,
                                           content_mode text, headers jsonb)
"""
END = """
    UPDATE webhook_delivery_attempts a SET ended_at = t.ended_at, result = t.result, status = t.status,
        response_headers = t.headers, response_body = decode(t.body, 'base64'), error = t.error,
        next_try_at = t.next_try_at
    FROM json_to_recordset(%s::json) AS t (message_id uuid, number int, ended_at timestamptz, result text, status int,
                                           headers jsonb, body text, error text, next_try_at timestamptz)
    WHERE a.message_id = t.message_id AND a.number = t.number
"""


async def begin(tx: Tx, attempts: Sequence[tuple[Attempt, Mapping[str, str]]]) -> None:
    """Write attempts with the headers that they send."""
    rows = [
        {
            "message_id": one.message_id,
            "number": one.number,
            "subscription_id": one.subscription_id,
            "probe": one.probe,
            "url": one.url,
            "content_mode": one.content_mode,
            "headers": headers,
        }
        for one, headers in attempts
    ]
    await tx.execute(BEGIN, (tx.now, as_json(rows)))


async def end(tx: Tx, results: Sequence[tuple[Result, datetime | None]]) -> None:
    """Write the results of attempts, each with the time of the message's next attempt."""
    await tx.execute(END, (as_json([_row(result, next_try_at) for result, next_try_at in results]),))


def _row(result: Result, next_try_at: datetime | None) -> dict[str, object]:
    return {
        "message_id": result.attempt.message_id,
        "number": result.attempt.number,
        "ended_at": result.ended_at,
        "result": result.result,
        "status": result.status,
        "headers": None if result.headers is None else _bounded(result.headers),
        "body": None if result.body is None else b64encode(result.body[:BODY_MAX]).decode(),
        "error": None if result.error is None else shortened(storable(result.error), ERROR_MAX),
        "next_try_at": next_try_at,
    }


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        storable(name): shortened(storable(value), HEADER_MAX) for name, value in list(headers.items())[:HEADERS_MAX]
    }
