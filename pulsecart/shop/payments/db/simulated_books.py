"""Stores the simulated gateway's charges and behaviour. No query of the shop joins these tables."""

from collections.abc import Sequence
from typing import Any

from pulsecart.runtime.db.database import Tx, as_json

COLUMNS = "idempotency_key, status, reference, amount_minor, currency"
FIRST_ANSWERS = f"""
    INSERT INTO simulated_gateway.charges ({COLUMNS}, created_at, updated_at)
    SELECT {COLUMNS}, %s, %s
    FROM json_to_recordset(%s::json)
         AS t (idempotency_key text, status text, reference text, amount_minor bigint, currency text)
    ORDER BY idempotency_key ON CONFLICT DO NOTHING
"""
ChargeRow = tuple[str, str, str, int, str]


async def behaviour(tx: Tx) -> tuple[str, float]:
    """Return the configured behaviour: the mode, and the share of keys that it applies to."""
    row = await tx.row("SELECT mode, share FROM simulated_gateway.behaviour")
    return (row[0], row[1]) if row else ("approve", 1.0)


async def behave(tx: Tx, mode: str, share: float) -> None:
    """Set the behaviour for later requests."""
    await tx.execute("UPDATE simulated_gateway.behaviour SET mode = %s, share = %s", (mode, share))


async def first_answers(tx: Tx, charges: Sequence[ChargeRow]) -> dict[str, ChargeRow]:
    """Insert the charges whose keys are new; return the charges under these keys, with their rows locked."""
    named: list[dict[str, Any]] = [dict(zip(COLUMNS.split(", "), charge, strict=True)) for charge in charges]
    await tx.execute(FIRST_ANSWERS, (tx.now, tx.now, as_json(named)))
    return await find(tx, [charge[0] for charge in charges])


async def find(tx: Tx, keys: Sequence[str]) -> dict[str, ChargeRow]:
    """Return the existing charges under these keys, with their rows locked."""
    rows = await tx.rows(
        f"""
        SELECT {COLUMNS} FROM simulated_gateway.charges WHERE idempotency_key = ANY(%s)
        ORDER BY idempotency_key FOR UPDATE
        """,
        (list(keys),),
    )
    return {row[0]: (row[0], row[1], row[2], row[3], row[4]) for row in rows}


async def give_back(tx: Tx, key: str) -> None:
    """Mark a charge, whose row is locked, as REFUNDED."""
    await tx.execute(
        "UPDATE simulated_gateway.charges SET status = 'REFUNDED', updated_at = %s WHERE idempotency_key = %s",
        (tx.now, key),
    )
