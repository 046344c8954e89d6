"""Stores order_calls: each attempt of each external call made for an order, with its time, result and error."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import Identity
from pulsecart.runtime.printable import shortened, storable

ERROR_MAX = 500
BEGIN = """
    INSERT INTO order_calls (began_at, operation, order_id, call_id, call, caused_by, caused_by_source)
    SELECT %s, %s, order_id, call_id, call, caused_by, caused_by_source
    FROM json_to_recordset(%s::json) AS t (order_id uuid, call_id uuid, call text, caused_by text,
                                           caused_by_source text)
"""
END = """
    UPDATE order_calls AS c SET ended_at = %s, result = t.result, error = t.error
    FROM json_to_recordset(%s::json) AS t (order_id uuid, call_id uuid, result text, error text)
    WHERE c.order_id = t.order_id AND c.call_id = t.call_id
"""
FAILED_BEFORE = """
    SELECT DISTINCT order_id::text FROM order_calls WHERE order_id = ANY(%s::uuid[]) AND error IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt recorded before its external call."""

    order_id: str
    call_id: str
    call: str
    cause: Identity | None


@dataclass(frozen=True, slots=True)
class Ended:
    """``error`` is None when the external system answered; ``result`` is then its answer."""

    order_id: str
    call_id: str
    result: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt as stored; without ``ended_at`` it is in flight or its outcome is unknown."""

    call: str
    operation: str
    caused_by: str | None
    began_at: datetime
    ended_at: datetime | None
    result: str | None
    error: str | None
    caused_by_source: str | None = None

    @property
    def cause(self) -> Identity | None:
        """The event that caused the attempt."""
        return Identity(self.caused_by_source or "", self.caused_by) if self.caused_by else None


def begin(tx: Tx, started: Sequence[Begun]) -> None:
    """Write the intents in the transaction before the calls."""
    if started:
        rows = [
            {
                "order_id": one.order_id,
                "call_id": one.call_id,
                "call": one.call,
                "caused_by": one.cause.id if one.cause else None,
                "caused_by_source": one.cause.source if one.cause else None,
            }
            for one in started
        ]
        tx.later(BEGIN, (tx.now, tx.source.rpartition("/")[2], as_json(rows)))


def end(tx: Tx, ended: Sequence[Ended]) -> None:
    """Write the results in the transaction after the calls."""
    if ended:
        rows = [
            {
                "order_id": one.order_id,
                "call_id": one.call_id,
                "result": one.result,
                "error": None if one.error is None else shortened(storable(one.error), ERROR_MAX),
            }
            for one in ended
        ]
        tx.later(END, (tx.now, as_json(rows)))


async def failed_before(tx: Tx, order_ids: Sequence[str]) -> set[str]:
    """Return those of these orders for which a call has already failed."""
    return {row[0] for row in await tx.rows(FAILED_BEFORE, (list(order_ids),))}


async def of_order(tx: Tx, order_id: str) -> list[Call]:
    """Return an order's attempts, oldest first."""
    rows = await tx.rows(
        """
        SELECT call, operation, caused_by, began_at, ended_at, result, error, caused_by_source FROM order_calls
        WHERE order_id = %s ORDER BY began_at, call_id
        """,
        (order_id,),
    )
    return [Call(*row) for row in rows]
